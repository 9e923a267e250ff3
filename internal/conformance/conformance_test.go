package conformance

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mslgo/msl/mslerr"
)

var vectorsDir = flag.String("vectors", "internal/conformance/testdata", "directory of the vector files, relative to the module's root")

// A runner runs all cases of one list.
type runner func(r *run, list json.RawMessage)

// files are the vector files, and the lists in them. A nil runner marks a member
// that holds no cases.
var files = map[string]map[string]runner{
	"keys.json":         {"description": nil, "psk": nil, "token_issuer_keys": nil, "service_token_keys": nil, "rsa_by_public_key_id": nil, "ecc_by_public_key_id": nil, "x509": nil, "diffie_hellman_parameters": nil, "users": nil, "entities": nil},
	"envelopes.json":    envelopeLists,
	"tokens.json":       tokenLists,
	"lzw.json":          compressionLists,
	"messages.json":     messageLists,
	"keyx.json":         exchangeLists,
	"conversation.json": conversationLists,
}

// root is the directory of go.mod, in or above the working directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod in or above the working directory")
		}
		dir = parent
	}
}

func TestVectors(t *testing.T) {
	dir := *vectorsDir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root(t), dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys := loadKeys(t, filepath.Join(dir, "keys.json"))
	var report []string
	missing := maps.Clone(files)
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || filepath.Ext(name) != ".json" {
			continue
		}
		delete(missing, name)
		lists, known := files[name]
		if !known {
			t.Errorf("%s: nobody knows this file", name)
			continue
		}
		t.Run(strings.TrimSuffix(name, ".json"), func(t *testing.T) {
			members := make(map[string]json.RawMessage)
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &members); err != nil {
				t.Fatal(err)
			}
			for _, list := range slices.Sorted(maps.Keys(members)) {
				f, known := lists[list]
				if !known {
					t.Errorf("%s: nobody knows the list %q", name, list)
					continue
				}
				if f == nil {
					continue
				}
				r := &run{keys: keys, members: members}
				t.Run(list, func(t *testing.T) {
					r.t = t
					f(r, members[list])
				})
				report = append(report, r.report(name, list))
			}
		})
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		report = append(report, fmt.Sprintf("%-18s is not there", name))
	}
	fmt.Println(strings.Join(report, "\n"))
}

// run counts the cases of one list.
type run struct {
	t       *testing.T
	keys    *keys
	members map[string]json.RawMessage // of the whole file

	cases, passed int

	messages, opened, compared, unequal int      // of replayed conversations
	unopened                            []string // conversations that our client cannot open
}

// report is the line about the list.
func (r *run) report(file, list string) string {
	line := fmt.Sprintf("%-18s %-30s %3d cases, %3d passed", file, list, r.cases, r.passed)
	if failed := r.cases - r.passed; failed > 0 {
		line += fmt.Sprintf(", %3d FAILED", failed)
	}
	if r.messages > 0 {
		line += fmt.Sprintf("\n%-18s %-30s %3d messages, %3d written by us and compared, %3d unequal; %3d answers opened, %d conversations not", file, "replayed", r.messages, r.compared, r.unequal, r.opened, len(r.unopened))
		for _, what := range r.unopened {
			line += "\n    not opened: " + what
		}
	}
	return line
}

// one runs one case. Its error fails the case.
func (r *run) one(name string, f func(t *testing.T) error) {
	r.cases++
	r.t.Run(name, func(t *testing.T) {
		if err := f(t); err != nil {
			t.Error(err)
		} else if !t.Failed() {
			r.passed++
		}
	})
}

// each decodes a list of cases and runs f on each. name gives a case's name; ""
// numbers it.
func each[T any](r *run, list json.RawMessage, name func(*T) string, f func(t *testing.T, c *T) error) {
	var cases []T
	if err := json.Unmarshal(list, &cases); err != nil {
		r.t.Fatal(err)
	}
	for i := range cases {
		n := ""
		if name != nil {
			n = name(&cases[i])
		}
		if n == "" {
			n = fmt.Sprint(i)
		}
		r.one(n, func(t *testing.T) error { return f(t, &cases[i]) })
	}
}

// wanted is an error as the vectors describe it.
type wanted struct {
	Name         string
	InternalCode int64
	ResponseCode mslerr.ResponseCode
	MessageID    *int64
	Note         string
}

// result is the outcome of an operation.
type result[T any] struct {
	OK    *T
	Error *wanted
}

// compare checks an outcome against what is wanted. Values are compared by same.
func (w *result[T]) compare(got T, err error, same func(got, want T) error) error {
	if w.Error != nil {
		return w.Error.compare(err, true)
	}
	if err != nil {
		return err
	}
	if w.OK == nil {
		return errors.New("the vectors give no outcome")
	}
	return same(got, *w.OK)
}

// compare checks an error: its two codes, and which message it names. Failures in
// payload chunks may name one although the peer's did not.
func (w *wanted) compare(err error, inPayload bool) error {
	if err == nil {
		return fmt.Errorf("accepted what the peer refuses with %s%s", w.Name, w.Note)
	}
	var e *mslerr.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("refused with %w, which is no protocol error", err)
	}
	if w.Name == "" {
		return nil // the peer failed in an unplanned way; any clean refusal is right
	}
	if want := mslerr.Code(w.InternalCode - mslerr.WireOffset); e.Code != want || e.Code.String() != w.Name || e.ResponseCode() != w.ResponseCode {
		return fmt.Errorf("refused with %w, want %s (%v)", err, w.Name, w.ResponseCode.String())
	}
	switch {
	case w.MessageID != nil && (!e.HasMessageID || e.MessageID != *w.MessageID):
		return fmt.Errorf("%w does not name message %d", err, *w.MessageID)
	case w.MessageID == nil && e.HasMessageID && !inPayload:
		return fmt.Errorf("%w names message %d, which the peer does not know", err, e.MessageID)
	}
	return nil
}

// mayAccept says whether the note beside a case leaves its outcome open.
func mayAccept(note string) bool { return mayAcceptNote.MatchString(note) }

var mayAcceptNote = regexp.MustCompile(`another implementation may accept`)
