package node

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/backup/s3"
)

// OpenRepository returns the repository of backups at a place: a folder, or s3://BUCKET/PREFIX (see s3.Parse). A place
// that can't be one is an ErrConfig.
func OpenRepository(place string) (backup.Repository, error) {
	scheme, _, isURL := strings.Cut(place, "://")
	switch {
	case place == "":
		return nil, fmt.Errorf("%w: want a folder or s3://BUCKET/PREFIX", ErrConfig)
	case !isURL:
		return backup.NewFolder(place), nil
	case scheme != "s3":
		return nil, fmt.Errorf("%w: want a folder or s3://BUCKET/PREFIX, not %s://", ErrConfig, scheme)
	}
	l, err := s3.Parse(place)
	if err != nil {
		return nil, errors.Join(ErrConfig, err)
	}
	return s3.Open(l)
}
