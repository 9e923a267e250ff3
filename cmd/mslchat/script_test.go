package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"mslchat": main})
}

// TestScripts runs testdata/script. Besides the usual commands there are:
//
//	start NAME ARG…            runs mslchat; its output goes to NAME.out and NAME.err
//	type NAME TEXT             writes a line to its standard input
//	eof NAME                   ends its standard input
//	ends NAME CODE             waits for its end
//	stop NAME                  asks it to end, and waits
//	until FILE REGEXP [VAR]    waits for a match, and sets VAR to its first group
//	random FILE BYTES          makes a file
//	certificate CERT KEY       makes a certificate of 127.0.0.1, signed by itself
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("MSLCHAT_HOME", filepath.Join(env.WorkDir, "home"))
			env.Values[programsKey{}] = make(programs)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": func(ts *testscript.TestScript, neg bool, args []string) { of(ts).start(ts, args[0], args[1:]...) },
			"type": func(ts *testscript.TestScript, neg bool, args []string) {
				_, err := io.WriteString(of(ts)[args[0]].in, args[1]+"\n")
				ts.Check(err)
			},
			"eof": func(ts *testscript.TestScript, neg bool, args []string) { ts.Check(of(ts)[args[0]].in.Close()) },
			"ends": func(ts *testscript.TestScript, neg bool, args []string) {
				if code := of(ts)[args[0]].wait(ts); strconv.Itoa(code) != args[1] {
					ts.Fatalf("%s ended with %d, not %s", args[0], code, args[1])
				}
			},
			"stop": func(ts *testscript.TestScript, neg bool, args []string) {
				p := of(ts)[args[0]]
				ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
				ts.Logf("%s ended with %d", args[0], p.wait(ts))
			},
			"until":       until,
			"random":      random,
			"certificate": selfSigned,
		},
	})
}

// patience is how long anything may take.
const patience = 30 * time.Second

// programs are those that run beside a script.
type programs map[string]*program

type programsKey struct{}

type program struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan error
}

func of(ts *testscript.TestScript) programs { return ts.Value(programsKey{}).(programs) }

func (p programs) start(ts *testscript.TestScript, name string, args ...string) {
	path, err := exec.LookPath("mslchat")
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "MSLCHAT_HOME="+ts.Getenv("MSLCHAT_HOME"))
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = out, errs
	in, err := cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	q := &program{cmd, in, make(chan error, 1)}
	go func() { q.done <- cmd.Wait() }()
	p[name] = q
	ts.Defer(func() {
		cmd.Process.Kill()
		<-q.done
	})
}

func (p *program) wait(ts *testscript.TestScript) int {
	var err error
	select {
	case err = <-p.done:
		p.done <- err
	case <-time.After(patience):
		ts.Fatalf("it does not end")
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[1])
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) { // another process has no channel
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if m := want.FindStringSubmatch(string(data)); err == nil && m != nil {
			if len(args) > 2 {
				ts.Setenv(args[2], m[1])
			}
			return
		}
		if time.Since(start) > patience {
			ts.Fatalf("%s does not match %s:\n%s", args[0], args[1], data)
		}
	}
}

func random(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	data := make([]byte, n)
	rand.Read(data)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

func selfSigned(ts *testscript.TestScript, neg bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	for i, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(block), 0o600))
	}
}

func TestSplit(t *testing.T) {
	long := strings.Repeat("ü", 5000) // 10000 bytes
	var got []string
	for text := range split(strings.NewReader("one\r\n\n\x1b[31mtwo\n" + long + "\nlast")) {
		got = append(got, text)
	}
	if len(got) != 6 || got[0] != "one" || got[1] != "[31mtwo" || got[5] != "last" {
		t.Fatalf("%d lines: %.40q", len(got), got)
	}
	if strings.Join(got[2:5], "") != long {
		t.Error("a long line lost something")
	}
}
