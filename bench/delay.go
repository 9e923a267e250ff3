package main

import (
	"net"
	"sync"
	"time"

	"github.com/mslgo/msl/internal/faultnet"
)

// delayProxy stands before a server, delays what passes each way and counts
// the bytes.
type delayProxy struct {
	addr     string
	last     func() (up, down int) // bytes of the newest connection
	accepted <-chan time.Time      // when each connection came; TCP only
	cut      func()                // ends all connections; TCP only
	close    func() error
}

func newDelayProxy(e Endpoint, delay time.Duration) (*delayProxy, error) {
	if e.UDP {
		return newPacketProxy(e.Addr, delay)
	}
	path := faultnet.Path{Latency: delay}
	accepted := make(chan time.Time, 64)
	paths := func(int) (up, down faultnet.Path) {
		select {
		case accepted <- time.Now():
		default: // nobody asks
		}
		return path, path
	}
	p := &faultnet.Proxy{Target: e.Addr, Paths: paths, Capture: true}
	if err := p.Start(); err != nil {
		return nil, err
	}
	last := func() (up, down int) {
		links := p.Links()
		c := links[len(links)-1].Capture()
		return len(c.Up), len(c.Down)
	}
	return &delayProxy{p.Addr(), last, accepted, p.Cut, p.Close}, nil
}

// packetProxy does the same for UDP.
type packetProxy struct {
	front  net.PacketConn
	target string
	delay  time.Duration

	mu     sync.Mutex
	flows  map[string]*packetFlow
	newest *packetFlow
}

// packetFlow is what one client address sends and gets.
type packetFlow struct {
	back     net.Conn
	up, down int // bytes
}

func newPacketProxy(target string, delay time.Duration) (*delayProxy, error) {
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &packetProxy{front: front, target: target, delay: delay, flows: make(map[string]*packetFlow)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run()
	}()
	last := func() (up, down int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.newest.up, p.newest.down
	}
	end := func() error {
		err := front.Close()
		<-done
		return err
	}
	return &delayProxy{addr: front.LocalAddr().String(), last: last, close: end}, nil
}

// run takes what clients send until the front is closed.
func (p *packetProxy) run() {
	var replies sync.WaitGroup
	defer replies.Wait()
	defer func() {
		for _, f := range p.flows {
			f.back.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.front.ReadFrom(buf)
		if err != nil {
			return
		}
		f := p.flows[from.String()]
		if f == nil {
			back, err := net.Dial("udp", p.target)
			if err != nil {
				continue
			}
			f = &packetFlow{back: back}
			p.flows[from.String()] = f
			p.mu.Lock()
			p.newest = f
			p.mu.Unlock()
			replies.Go(func() { p.reply(f, from) })
		}
		p.count(&f.up, n)
		p.later(buf[:n], func(b []byte) { _, _ = f.back.Write(b) })
	}
}

func (p *packetProxy) reply(f *packetFlow, to net.Addr) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.back.Read(buf)
		if err != nil {
			return
		}
		p.count(&f.down, n)
		p.later(buf[:n], func(b []byte) { _, _ = p.front.WriteTo(b, to) })
	}
}

func (p *packetProxy) count(n *int, more int) {
	p.mu.Lock()
	*n += more
	p.mu.Unlock()
}

// later sends a packet when its delay is over. Packets that overtake each
// other are nothing new to UDP.
func (p *packetProxy) later(b []byte, send func([]byte)) {
	b = append([]byte(nil), b...)
	time.AfterFunc(p.delay, func() { send(b) })
}
