// Package s3 is a backup.Repository in a bucket of an S3-compatible store. It stores every object with one request,
// which such stores do whole or not at all. It never logs or returns a credential, and sends data unencrypted to this
// machine only.
//
// Start reading at Parse and Open.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/sterlingrun/sterling/backup"
)

// Location says where a repository is.
type Location struct {
	Bucket   string
	Prefix   string // of every object; empty or ends with "/"
	Endpoint string // host or host:port
	Region   string // empty: the store is asked
	Secure   bool   // https
	// CredentialsFile has the keys in the format of ~/.aws/credentials; empty: the environment, then that file.
	CredentialsFile string
}

// ErrLocation is a URL that does not name a repository.
var ErrLocation = errors.New("not an S3 location")

const defaultEndpoint = "s3.amazonaws.com"

// Parse reads s3://BUCKET/PREFIX?endpoint=URL&region=NAME&credentials=FILE. The endpoint is https://HOST[:PORT], Amazon's
// by default, and may be http:// on this machine.
func Parse(text string) (Location, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Location{}, fmt.Errorf("%w: it can't be read", ErrLocation) // the error would repeat what may be a secret
	}
	if u.User != nil {
		return Location{}, fmt.Errorf("%w: keys do not belong into a URL: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file with credentials=", ErrLocation)
	}
	if u.Scheme != "s3" || u.Host == "" || u.Fragment != "" {
		return Location{}, fmt.Errorf("%w: want s3://BUCKET/PREFIX, not %q", ErrLocation, text)
	}
	l := Location{Bucket: u.Host, Endpoint: defaultEndpoint, Secure: true}
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		l.Prefix = prefix + "/"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Location{}, fmt.Errorf("%w: what follows the question mark can't be read", ErrLocation)
	}
	for key, values := range query {
		if len(values) != 1 {
			return Location{}, fmt.Errorf("%w: %s is given %d times", ErrLocation, key, len(values))
		}
		switch key {
		case "endpoint":
			if err := l.endpoint(values[0]); err != nil {
				return Location{}, err
			}
		case "region":
			l.Region = values[0]
		case "credentials":
			l.CredentialsFile = values[0]
		default:
			return Location{}, fmt.Errorf("%w: %q is unknown: there are endpoint, region and credentials", ErrLocation, key)
		}
	}
	return l, nil
}

func (l *Location) endpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: endpoint: want https://HOST or https://HOST:PORT", ErrLocation)
	}
	l.Endpoint, l.Secure = u.Host, u.Scheme == "https"
	if host := u.Hostname(); !l.Secure && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("%w: endpoint %s is on another machine: want https", ErrLocation, u.Host)
	}
	return nil
}

// Repository is a prefix of a bucket.
type Repository struct {
	client *minio.Client
	l      Location
}

// Open returns the repository at l. The bucket has to exist; nothing is sent yet. The keys come from l's file, or else
// from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or else from ~/.aws/credentials (or the file that
// AWS_SHARED_CREDENTIALS_FILE names).
func Open(l Location) (*Repository, error) {
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if l.CredentialsFile != "" {
		if _, err := os.Stat(l.CredentialsFile); err != nil {
			return nil, fmt.Errorf("credentials of s3://%s: %w", l.Bucket, err)
		}
		chain = []credentials.Provider{&credentials.FileAWSCredentials{Filename: l.CredentialsFile}}
	}
	transport, err := minio.DefaultTransport(l.Secure)
	if err != nil {
		return nil, fmt.Errorf("open s3://%s: %w", l.Bucket, err)
	}
	transport.ResponseHeaderTimeout = time.Minute
	client, err := minio.New(l.Endpoint, &minio.Options{
		Creds: credentials.NewChainCredentials(chain), Secure: l.Secure, Region: l.Region, Transport: transport, MaxRetries: 5,
	})
	if err != nil {
		return nil, fmt.Errorf("open s3://%s: %w", l.Bucket, err)
	}
	return &Repository{client: client, l: l}, nil
}

// Put implements backup.Repository. The store checks what it got against an MD5 (S3 asks for that one by name; the
// backup's own hashes are SHA-256).
func (r *Repository) Put(ctx context.Context, name string, data []byte) error {
	_, err := r.client.PutObject(ctx, r.l.Bucket, r.l.Prefix+name, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true, SendContentMd5: true,
	})
	return r.explain(err)
}

// Get implements backup.Repository.
func (r *Repository) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	o, err := r.client.GetObject(ctx, r.l.Bucket, r.l.Prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, r.explain(err)
	}
	b, err := io.ReadAll(io.LimitReader(o, limit+1))
	_ = o.Close() // it was only read
	if err != nil {
		if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
			return nil, fmt.Errorf("%w: %s", backup.ErrAbsent, name)
		}
		return nil, r.explain(err)
	}
	if int64(len(b)) > limit {
		return nil, &backup.ObjectError{Object: name, Reason: fmt.Sprintf("it has more than %d bytes", limit), Err: backup.ErrDamaged}
	}
	return b, nil
}

// List implements backup.Repository. There are no leftovers: a Put that was cut short leaves nothing.
func (r *Repository) List(ctx context.Context, prefix string) ([]backup.Entry, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the listing where the loop ends early
	defer cancel()
	var list []backup.Entry
	for o := range r.client.ListObjects(ctx, r.l.Bucket, minio.ListObjectsOptions{Prefix: r.l.Prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, r.explain(o.Err)
		}
		list = append(list, backup.Entry{Name: strings.TrimPrefix(o.Key, r.l.Prefix), Bytes: o.Size, Modified: o.LastModified})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b backup.Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Remove implements backup.Repository.
func (r *Repository) Remove(ctx context.Context, name string) error {
	return r.explain(r.client.RemoveObject(ctx, r.l.Bucket, r.l.Prefix+name, minio.RemoveObjectOptions{}))
}

// explain says which bucket an error is of, and what to do about the usual ones.
func (r *Repository) explain(err error) error {
	if err == nil {
		return nil
	}
	where := fmt.Sprintf("bucket %s at %s", r.l.Bucket, r.l.Endpoint)
	switch e := minio.ToErrorResponse(err); {
	case e.Code == minio.NoSuchBucket:
		return fmt.Errorf("%s: there is no such bucket; make it first", where)
	case e.StatusCode == http.StatusForbidden, e.Code == minio.AccessDenied:
		return fmt.Errorf("%s: access refused (%s); the keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a credentials file", where, e.Code)
	}
	return fmt.Errorf("%s: %w", where, err)
}

var _ backup.Repository = (*Repository)(nil)
