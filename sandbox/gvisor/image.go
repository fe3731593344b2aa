package gvisor

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ErrImage is wrapped by every error about the content of an image.
var ErrImage = errors.New("image")

// Bounds of an image. They keep a hostile one from filling the host.
const (
	maxImageBytes   = 16 << 30 // unpacked, all layers together
	maxImageEntries = 1 << 20
	maxLayers       = 128
	maxManifest     = 4 << 20 // what registries take
)

// Unpack writes the root file system of an image to a folder, which must be empty, and returns the digest of the
// image's manifest. The image is an OCI image layout (a folder), or a tar of one or of docker save; scratch is an empty
// folder for the former. If want is not empty, another digest is an error. Every layer is compared with the digests
// that the manifest leads to. What an image can't need is left out: device nodes, sockets, set-user-id bits.
func Unpack(image, want, scratch, into string) (digest string, err error) {
	img, err := openImage(image, want, scratch, maxImageBytes)
	if err != nil {
		return "", err
	}
	if digest, err = manifestDigest(img, want); err != nil {
		return "", err
	}
	diffs, err := layerDigests(img)
	if err != nil {
		return "", err
	}
	layers, err := img.Layers()
	if err != nil {
		return "", fmt.Errorf("%w: read the manifest: %w", ErrImage, err)
	}
	if len(layers) != len(diffs) || len(layers) > maxLayers {
		return "", fmt.Errorf("%w: %d layers, %d digests of layers, at most %d", ErrImage, len(layers), len(diffs), maxLayers)
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return "", fmt.Errorf("open the folder for the image: %w", err)
	}
	defer root.Close() //nolint:errcheck // a folder
	u := &unpacker{root: root, bytes: maxImageBytes, entries: maxImageEntries, most: maxImageBytes}
	for i, layer := range layers {
		if err := u.layer(layer, diffs[i]); err != nil {
			return "", fmt.Errorf("unpack layer %d: %w", i, err)
		}
	}
	return digest, nil
}

// imageDigest is that of an image's manifest. Its layers are not read, except those of a tar of docker save, which has no
// manifest. The rest is as in Unpack; scratch is a folder that is not there, nor afterwards.
func imageDigest(image, want, scratch string) (digest string, err error) {
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return "", fmt.Errorf("make a folder for the manifest: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	img, err := openImage(image, want, scratch, maxManifest)
	if err != nil {
		return "", err
	}
	return manifestDigest(img, want)
}

func manifestDigest(img v1.Image, want string) (string, error) {
	found, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("%w: read the manifest: %w", ErrImage, err)
	}
	if want != "" && found.String() != want {
		return "", fmt.Errorf("%w: its digest is %s, and the policy wants %s", ErrImage, found, want)
	}
	return found.String(), nil
}

// layerDigests are those of the uncompressed layers, from a configuration that the manifest vouches for.
func layerDigests(img v1.Image) ([]v1.Hash, error) {
	name, err := img.ConfigName()
	if err != nil {
		return nil, fmt.Errorf("%w: read the manifest: %w", ErrImage, err)
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return nil, fmt.Errorf("%w: read the configuration: %w", ErrImage, err)
	}
	if sum := sha256.Sum256(raw); name.Algorithm != "sha256" || name.Hex != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%w: the configuration is not %s", ErrImage, name)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("%w: read the configuration: %w", ErrImage, err)
	}
	return config.RootFS.DiffIDs, nil
}

// openImage leaves files out that have more than so many bytes, where it has to take the image out of a tar.
func openImage(image, want, scratch string, most int64) (v1.Image, error) {
	info, err := os.Stat(image)
	if err != nil {
		return nil, fmt.Errorf("open the image: %w", err)
	}
	if info.IsDir() {
		return fromLayout(image, want)
	}
	isLayout, err := hasFile(image, "oci-layout")
	if err != nil {
		return nil, err
	}
	if !isLayout {
		img, err := tarball.ImageFromPath(image, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is neither a tar of an OCI layout nor of docker save: %w", ErrImage, image, err)
		}
		return img, nil
	}
	if err := untarLayout(image, scratch, most); err != nil {
		return nil, err
	}
	return fromLayout(scratch, want)
}

func untarLayout(image, into string, most int64) error {
	f, err := os.Open(image)
	if err != nil {
		return fmt.Errorf("open the image: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("open the folder for the image: %w", err)
	}
	defer root.Close() //nolint:errcheck // a folder
	u := &unpacker{root: root, bytes: maxImageBytes, entries: maxImageEntries, most: most}
	return u.tar(f)
}

// hasFile looks at names only, and stops at the first that matches.
func hasFile(archive, name string) (bool, error) {
	f, err := os.Open(archive)
	if err != nil {
		return false, fmt.Errorf("open the image: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	r := tar.NewReader(f)
	for range maxImageEntries {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%w: %s is no tar: %w", ErrImage, archive, err)
		}
		if filepath.Clean(h.Name) == name {
			return true, nil
		}
	}
	return false, nil
}

// fromLayout takes the image of a layout that is wanted, or the only one for this system.
func fromLayout(folder, want string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is no OCI layout: %w", ErrImage, folder, err)
	}
	var found []v1.Image
	if err := images(index, want, &found, 2); err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%w: %s holds %d images for linux/amd64, and one is wanted: name its digest in the policy", ErrImage, folder, len(found))
	}
	return found[0], nil
}

// images collects those of an index, and of the indexes in it, that are wanted; or, if none is, that run here.
func images(index v1.ImageIndex, want string, found *[]v1.Image, depth int) error {
	m, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("%w: read the index: %w", ErrImage, err)
	}
	if len(m.Manifests) > 1024 || depth == 0 {
		return fmt.Errorf("%w: %d images in an index, indexes within indexes", ErrImage, len(m.Manifests))
	}
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsIndex():
			inner, err := index.ImageIndex(d.Digest)
			if err != nil {
				return fmt.Errorf("%w: read the index %s: %w", ErrImage, d.Digest, err)
			}
			if err := images(inner, want, found, depth-1); err != nil {
				return err
			}
		case d.MediaType.IsImage() && (want == d.Digest.String() || want == "" && runsHere(d.Platform)):
			img, err := index.Image(d.Digest)
			if err != nil {
				return fmt.Errorf("%w: read the manifest %s: %w", ErrImage, d.Digest, err)
			}
			if has, err := img.Digest(); err != nil || has != d.Digest {
				return fmt.Errorf("%w: the manifest is not %s", ErrImage, d.Digest)
			}
			*found = append(*found, img)
		}
	}
	return nil
}

func runsHere(p *v1.Platform) bool {
	return p == nil || p.OS == "linux" && p.Architecture == "amd64"
}
