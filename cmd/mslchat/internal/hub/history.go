package hub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mslgo/msl/cmd/mslchat/internal/wire"
)

// A room remembers so many messages, and bytes of them. Its file grows to twice
// as many lines, then it is rewritten with the newest.
const (
	keep      = 200
	keepBytes = 256 << 10
)

// history is the last messages of a room, in memory and, with a path, in a file
// of JSON lines: the "history" events that newcomers get. Guarded by its room.
type history struct {
	path   string
	events []wire.Event
	seq    uint64 // of the newest message ever
	lines  int    // in the file
}

// openHistory reads what there is. Lines that are damaged, as a crash may leave
// the last one, are passed over.
func openHistory(path string) (*history, error) {
	h := &history{path: path}
	if path == "" {
		return h, nil
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("hub: reading history: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, wire.MaxLine+1)
	for lines.Scan() {
		h.lines++
		var e wire.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == wire.History && e.Seq > h.seq {
			h.seq = e.Seq
			h.events = append(h.events, e)
		}
	}
	h.trim()
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return h, h.rewrite()
	}
	return h, nil
}

// add numbers a message and keeps it. The error is that of the file.
func (h *history) add(e *wire.Event) error {
	h.seq++
	e.Seq = h.seq
	old := *e
	old.Type = wire.History
	h.events = append(h.events, old)
	h.trim()
	if h.path == "" {
		return nil
	}
	if h.lines >= 2*keep {
		return h.rewrite()
	}
	f, err := os.OpenFile(h.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	h.lines++
	return errors.Join(wire.Write(f, old), f.Close())
}

// after returns the messages behind seq, all if it is of another history.
func (h *history) after(seq uint64) []wire.Event {
	if seq > h.seq {
		return h.events
	}
	for i, e := range h.events {
		if e.Seq > seq {
			return h.events[i:]
		}
	}
	return nil
}

func (h *history) trim() {
	first, bytes := len(h.events), 0
	for first > 0 && len(h.events)-first < keep {
		if bytes += len(h.events[first-1].Text); bytes > keepBytes {
			break
		}
		first--
	}
	if first > 0 {
		h.events = append(h.events[:0:0], h.events[first:]...)
	}
}

func (h *history) rewrite() error {
	var b bytes.Buffer
	for _, e := range h.events {
		if err := wire.Write(&b, e); err != nil {
			return err
		}
	}
	h.lines = len(h.events)
	return replaceFile(h.path, b.Bytes())
}

// historyPath is the file of a room. Names of rooms are safe as names of files
// but for systems with reserved ones, hence the prefix.
func historyPath(dir, room string) string {
	return filepath.Join(dir, historyPrefix+room+historySuffix)
}

const (
	historyPrefix = "room-"
	historySuffix = ".jsonl"
	maxHistories  = 4096 // files; beyond it the oldest is removed
)

// dropOldHistories keeps the number of files in bounds.
func dropOldHistories(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var oldest os.FileInfo
	n := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), historyPrefix) || !strings.HasSuffix(e.Name(), historySuffix) {
			continue
		}
		n++
		if info, err := e.Info(); err == nil && (oldest == nil || info.ModTime().Before(oldest.ModTime())) {
			oldest = info
		}
	}
	if n < maxHistories {
		return nil
	}
	return os.Remove(filepath.Join(dir, oldest.Name()))
}

// replaceFile writes a file that only its owner can read, whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
