package natstest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const nodes = 3

// The test program is run again as each server of NATS, so that one can be
// killed: a server that is told to end hands over what it leads first.
func TestMain(m *testing.M) {
	if config := os.Getenv("MSL_NATS_NODE"); config != "" {
		if err := runNode(strings.Split(config, " ")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// runNode is a server of NATS that ends when nobody holds its standard input any
// more. Arguments: name, directory, port for clients, port for the other nodes,
// addresses of all nodes.
func runNode(args []string) error {
	if len(args) != 4+nodes {
		return fmt.Errorf("%d arguments", len(args))
	}
	o := &server.Options{
		ServerName: args[0],
		Host:       "127.0.0.1",
		JetStream:  true,
		StoreDir:   args[1],
		Cluster:    server.ClusterOpts{Name: "msl", Host: "127.0.0.1"},
		NoLog:      true,
		NoSigs:     true,
	}
	for i, port := range []*int{&o.Port, &o.Cluster.Port} {
		var err error
		if *port, err = strconv.Atoi(args[2+i]); err != nil {
			return err
		}
	}
	for _, host := range args[4:] {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: host})
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A cluster is three servers of NATS with JetStream that know of each other.
type cluster struct{ nodes [nodes]node }

type node struct {
	name    string
	url     string
	process *exec.Cmd
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	c := new(cluster)
	clients, routes := freeAddresses(t), freeAddresses(t)
	for i := range c.nodes {
		n := &c.nodes[i]
		n.name = fmt.Sprintf("node%d", i)
		n.url = "nats://" + clients[i].String()
		args := []string{n.name, t.TempDir(), strconv.Itoa(clients[i].Port), strconv.Itoa(routes[i].Port)}
		for _, a := range routes {
			args = append(args, a.String())
		}
		n.process = exec.Command(os.Args[0])
		n.process.Env = append(os.Environ(), "MSL_NATS_NODE="+strings.Join(args, " "))
		n.process.Stderr = os.Stderr
		if _, err := n.process.StdinPipe(); err != nil { // closed when we end
			t.Fatal(err)
		}
		if err := n.process.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.kill(i) })
	}
	eventually(t, "cluster", func() bool {
		for i := range c.nodes {
			conn, err := nats.Connect(c.nodes[i].url)
			if err != nil {
				return false
			}
			conn.Close()
		}
		return true
	})
	js := newJetStream(t, c.dial(t, 0))
	eventually(t, "stream on all nodes", func() bool {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "probe", Replicas: nodes, Storage: jetstream.MemoryStorage})
		return err == nil
	})
	return c
}

// freeAddresses finds an address for each node: they have to know them before
// they start.
func freeAddresses(t testing.TB) (list []*net.TCPAddr) {
	t.Helper()
	for range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().(*net.TCPAddr))
	}
	return list
}

// kill ends node i without a warning.
func (c *cluster) kill(i int) {
	c.nodes[i].process.Process.Kill()
	c.nodes[i].process.Wait()
}

// dial connects to node i, or if that is gone, to one of the others given.
func (c *cluster) dial(t testing.TB, i int, others ...int) *nats.Conn {
	t.Helper()
	urls := c.nodes[i].url
	for _, n := range others {
		urls += "," + c.nodes[n].url
	}
	conn, err := nats.Connect(urls, nats.DontRandomize(), nats.IgnoreDiscoveredServers(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// leader is the node that leads a bucket.
func (c *cluster) leader(t testing.TB, bucket string) int {
	t.Helper()
	s, err := newJetStream(t, c.dial(t, 0)).Stream(t.Context(), "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		if s.CachedInfo().Cluster.Leader == c.nodes[i].name {
			return i
		}
	}
	t.Fatal("no leader")
	return 0
}

func newJetStream(t testing.TB, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// eventually waits for what the servers of NATS do in their own time.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}
