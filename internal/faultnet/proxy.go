package faultnet

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
)

// A Proxy is a TCP proxy on loopback: each connection to it is a [Link] to the
// target. Set the fields before Start.
type Proxy struct {
	// Target is host:port of the server.
	Target string
	// Paths gives the faults of the i-th connection, from 0; nil means none.
	Paths func(i int) (up, down Path)
	// Capture keeps what passes, for [Link.Capture].
	Capture bool

	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	links  []*Link
	held   bool
	closed bool
}

// Start listens.
func (p *Proxy) Start() (err error) {
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.running.Go(p.run)
	return nil
}

// Addr is the host:port to dial.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) run() {
	for i := 0; ; i++ {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.Target)
		if err != nil {
			client.Close()
			continue
		}
		var up, down Path
		if p.Paths != nil {
			up, down = p.Paths(i)
		}
		p.mu.Lock()
		if p.closed {
			client.Close()
			server.Close()
		} else {
			l := NewLink(client, server, up, down, p.Capture)
			l.Hold(p.held)
			p.links = append(p.links, l)
		}
		p.mu.Unlock()
	}
}

// Links are those of all connections so far, in order.
func (p *Proxy) Links() []*Link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links)
}

// Cut cuts all connections; new ones are served.
func (p *Proxy) Cut() {
	for _, l := range p.Links() {
		l.Cut()
	}
}

// Hold makes the network a black hole, also for new connections, and with
// false goes on with what has gathered meanwhile.
func (p *Proxy) Hold(hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = hold
	for _, l := range p.links {
		l.Hold(hold)
	}
}

// Close stops listening, cuts all connections and waits until they have ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.running.Wait()
	p.Cut()
	for _, l := range p.Links() {
		l.Wait()
	}
	return err
}

// RandomCuts gives a [Proxy]'s Paths that cut each connection after at most
// most bytes of a direction, one of the two. The same seed gives the same cuts.
func RandomCuts(seed uint64, most int64) func(i int) (up, down Path) {
	return func(i int) (up, down Path) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		cut := Path{CutAfter: 1 + r.Int64N(most)}
		if r.IntN(2) == 0 {
			return cut, Path{}
		}
		return Path{}, cut
	}
}
