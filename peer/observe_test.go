//go:build !js

package peer_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/mslgo/msl/observe"
	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

// tally sums what metrics are told.
type tally struct {
	mu  sync.Mutex
	sum map[observe.Metric]float64
}

func (c *tally) Record(m observe.Metric, _ string, v float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sum == nil {
		c.sum = make(map[observe.Metric]float64)
	}
	c.sum[m] += v
}

func (c *tally) of(m observe.Metric) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum[m]
}

// locked is a buffer for several writers.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) lines() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte("\n"))
}

// Whoever observes a role sees the sessions of it, and its key log has their keys.
func TestRolesAreObserved(t *testing.T) {
	var figures [4]tally
	var keys [4]locked
	server := &peer.Server{
		Identity: identity(t), Service: "echo", Session: echo,
		Observe: observe.Observer{Metrics: &figures[0]}, KeyLog: &keys[0],
	}
	url := serve(t, server, "tcp://127.0.0.1:0")[0]
	client := &peer.Client{
		Identity: identity(t), Service: "echo", Trust: peer.Pinned(server.Identity.Fingerprint()),
		Observe: observe.Observer{Metrics: &figures[1]}, KeyLog: &keys[1],
	}
	answering := &peer.Node{
		Identity: identity(t), Session: echo, Admit: func(context.Context, peer.Info) error { return nil },
		Observe: observe.Observer{Metrics: &figures[2]}, KeyLog: &keys[2],
	}
	l, err := answering.Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- answering.Serve(context.Background(), l) }()
	dialling := &peer.Node{Identity: identity(t), Observe: observe.Observer{Metrics: &figures[3]}, KeyLog: &keys[3]}

	for _, dial := range []func() (*session.Session, error){
		func() (*session.Session, error) { return client.Dial(t.Context(), url) },
		func() (*session.Session, error) {
			return dialling.Dial(t.Context(), answering.Identity.Fingerprint(), l.URL())
		},
	} {
		s, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, s, "hello")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := answering.Close(); err != nil {
		t.Error(err)
	}
	<-served
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	for i := range figures {
		f := &figures[i]
		if f.of(observe.SessionsOpened) != 1 || f.of(observe.SessionsOpen) != 0 || f.of(observe.StreamsOpened) != 1 || f.of(observe.BytesSent) == 0 {
			t.Errorf("role %d: %v", i, f.sum)
		}
		if n := keys[i].lines(); n != 2 {
			t.Errorf("role %d: %d lines of keys", i, n)
		}
	}
}
