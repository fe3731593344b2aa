package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// tree lists what is below a folder, except where a kernel of a sandbox mounts something: kind, mode, owner, names, the
// first path of the same file, size, time, what it holds by reading and by mapping it, and where it points.
func tree(folder string) {
	first := map[uint64]string{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := path[len(folder):]
		switch name {
		case "proc", "sys", "dev", "tmp":
			return fs.SkipDir
		}
		var s syscall.Stat_t
		if err := syscall.Lstat(path, &s); err != nil {
			return err
		}
		fmt.Printf("%q %o %d %d", name, s.Mode, s.Uid, s.Gid)
		switch s.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
			if _, ok := first[s.Ino]; !ok {
				first[s.Ino] = name
			}
			fmt.Printf(" %d %q %d %d", s.Nlink, first[s.Ino], s.Size, s.Mtim.Nano())
			text, err := os.ReadFile(path)
			fmt.Printf(" %x %v", sha256.Sum256(text), err)
			if s.Size > 2 { // of thousands, the small ones take too long
				mapped, err := mapFile(path, int(s.Size))
				fmt.Printf(" %x %v", sha256.Sum256(mapped), err)
			}
		case syscall.S_IFLNK:
			to, err := os.Readlink(path)
			fmt.Printf(" %q %v", to, err)
		}
		fmt.Println()
		return nil
	})
	fmt.Println(err)
}

func mapFile(path string, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE)
}
