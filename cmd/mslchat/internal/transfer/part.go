package transfer

import (
	"os"
	"path/filepath"
)

// openPart opens what there is of the file with this SHA-256, or an empty file
// that cannot be found again: if sum is "", if somebody else is receiving the same
// file into dir, or where there are no locks.
func openPart(dir, sum string) (part *os.File, resumable bool, err error) {
	if sum != "" {
		part, err := os.OpenFile(filepath.Join(dir, ".mslchat-"+sum+".part"), os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil && claim(part) {
			return part, true, nil
		}
		part.Close()
	}
	part, err = os.CreateTemp(dir, ".mslchat-*.part")
	return part, false, err
}

// claim locks a file until it is closed, if nobody else has and it is still the
// one of that name: who had it may just have finished it.
func claim(f *os.File) bool {
	if !lock(f) {
		return false
	}
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(f.Name())
	return err == nil && mine.Mode().IsRegular() && os.SameFile(mine, named)
}
