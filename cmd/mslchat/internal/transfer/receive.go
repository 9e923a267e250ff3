package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// Offer is a file that somebody wants to send.
type Offer struct {
	Name   string // safe: one element of a path, not hidden
	Size   int64  // bytes
	SHA256 string // hexadecimal; may be empty
	From   string // a nick; may be empty
}

// ReadOffer reads the metadata of a file's stream.
func ReadOffer(meta map[string]string) (Offer, error) {
	size, err := strconv.ParseInt(meta[wire.MetaSize], 10, 64)
	if err != nil || size < 0 {
		return Offer{}, wire.Refuse(wire.CodeInvalid, "%q is not the size of a file", wire.Clean(meta[wire.MetaSize]))
	}
	sum := meta[wire.MetaSHA256]
	if b, err := hex.DecodeString(sum); sum != "" && (err != nil || len(b) != sha256.Size || strings.ToLower(sum) != sum) {
		return Offer{}, wire.Refuse(wire.CodeInvalid, "%q is not the SHA-256 of a file", wire.Clean(sum))
	}
	return Offer{
		Name:   SafeName(meta[wire.MetaName]),
		Size:   size,
		SHA256: sum,
		From:   wire.Cut(wire.Clean(meta[wire.MetaNick]), wire.MaxName),
	}, nil
}

// maxFileName leaves room for " (999)" within the 255 bytes that systems allow.
const maxFileName = 240

// SafeName makes a name that a sender gave one that is safe to create: its last
// element, without what terminals and file systems take for something else.
func SafeName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`<>:"|?*`, r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, wire.Clean(name))
	name = strings.TrimLeft(name, ". ")
	if len(name) > maxFileName { // keep what says what it is
		ext := filepath.Ext(name)
		if len(ext) > 20 {
			ext = ""
		}
		name = wire.Cut(name, maxFileName-len(ext)) + ext
	}
	name = strings.TrimRight(name, ". ")
	if base, _, _ := strings.Cut(name, "."); reserved(base) {
		return "file-" + name
	}
	if name == "" {
		return "file"
	}
	return name
}

// reserved reports whether Windows takes the name for a device.
func reserved(base string) bool {
	switch base = strings.ToUpper(strings.TrimSpace(base)); base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}

// Refuse answers the sender of a file that it is not wanted.
func Refuse(st wire.Stream, err error) error {
	return errors.Join(wire.Write(st, wire.Refused.Of(err)), st.CloseWrite(), st.CloseRead())
}

// Receive accepts the offer, receives its bytes into a new file in dir, and to
// progress, and tells the sender what became of them. A file that exists is not
// replaced: the new one gets a name of its own. What was cut off is kept for the
// next offer of the same file; what turned out wrong is removed.
func Receive(st wire.Stream, o Offer, dir string, progress io.Writer) (path, sum string, err error) {
	part, resumable, err := openPart(dir, o.SHA256)
	if err != nil {
		err = fmt.Errorf("cannot write here: %w", err)
		return "", "", errors.Join(err, Refuse(st, errors.New("it cannot be written there")))
	}
	keep := resumable
	defer func() {
		if resumable && !keep {
			_ = os.Remove(part.Name()) // while nobody else can have it
		}
		part.Close()
		if !resumable {
			_ = os.Remove(part.Name()) // fails when it has got its name
		}
	}()
	hash := sha256.New()
	offset, err := copyBuffered(io.MultiWriter(hash, progress), io.LimitReader(part, o.Size))
	if err == nil {
		err = part.Truncate(offset)
	}
	if err != nil {
		keep = false
		return "", "", errors.Join(err, Refuse(st, errors.New("it cannot be written there")))
	}
	if err := wire.Write(st, wire.Event{Type: wire.Accepted, Offset: offset}); err != nil {
		return "", "", err
	}
	if sum, err = receive(st, hash, io.MultiWriter(part, progress), o, offset); err == nil {
		path, err = name(part, filepath.Join(dir, o.Name), resumable)
		keep = err == nil // under its name
	}
	if err != nil {
		// The sender learns that it failed; where and how our disk did is ours.
		answer := errors.New("it was not kept")
		if refusal, ok := errors.AsType[*wire.Refusal](err); ok {
			answer, keep = refusal, false
		}
		return "", "", errors.Join(err, st.CloseRead(), wire.Write(st, wire.Failed.Of(answer)), st.CloseWrite())
	}
	return path, sum, errors.Join(wire.Write(st, wire.Event{Type: wire.Done, SHA256: sum}), st.CloseWrite())
}

// receive reads the bytes behind those that hash has, and compares all of them
// with what the sender says.
func receive(st io.Reader, hash hash.Hash, w io.Writer, o Offer, offset int64) (sum string, err error) {
	n, err := copyBuffered(io.MultiWriter(hash, w), io.LimitReader(st, o.Size-offset))
	if n += offset; err != nil {
		return "", fmt.Errorf("after %d of %d bytes: %w", n, o.Size, err)
	}
	if n < o.Size {
		return "", wire.Refuse(wire.CodeInvalid, "it ended after %d of %d bytes", n, o.Size)
	}
	if sum = hex.EncodeToString(hash.Sum(nil)); o.SHA256 != "" && o.SHA256 != sum {
		return "", wire.Refuse(wire.CodeInvalid, "its SHA-256 is %s, but %s was offered", sum, o.SHA256)
	}
	e, err := wire.NewReader(st).Next()
	if err != nil {
		return "", fmt.Errorf("its SHA-256 is missing: %w", err)
	}
	if e.Type != wire.End || e.SHA256 != sum {
		return "", wire.Refuse(wire.CodeInvalid, "its SHA-256 is %s, but the sender's is %q", sum, e.SHA256)
	}
	return sum, nil
}

// name gives a whole file its name, or the next that is free. One that is locked
// is so until then.
func name(part *os.File, path string, locked bool) (string, error) {
	if err := part.Sync(); err != nil {
		return "", err
	}
	path, mode, err := reserve(path)
	if err != nil {
		return "", err
	}
	// The temporary file is for its owner only; now it gets what new files have.
	err = part.Chmod(mode)
	if !locked { // where there are no locks, open files may keep their names
		err = errors.Join(err, part.Close())
	}
	if err = errors.Join(err, os.Rename(part.Name(), path)); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}

// reserve makes an empty file under the first name that is free, so that nobody
// else takes it.
func reserve(path string) (string, os.FileMode, error) {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	for n := 1; ; n++ {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if errors.Is(err, os.ErrExist) && n < 1000 {
			path = fmt.Sprintf("%s (%d)%s", stem, n, ext)
			continue
		}
		if err != nil {
			return "", 0, err
		}
		info, err := f.Stat()
		if err = errors.Join(err, f.Close()); err != nil {
			return "", 0, err
		}
		return path, info.Mode().Perm(), nil
	}
}
