package transport

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestTCPUnsentLowWater(t *testing.T) {
	a, _ := connect(t, "tcp://127.0.0.1:0", nil, nil)
	w, ok := a.(UnsentLimiter)
	if !ok {
		t.Fatal("no SetUnsentLowWater on Linux")
	}
	for _, want := range []int{16 << 10, 256 << 10} {
		if err := w.SetUnsentLowWater(want); err != nil {
			t.Fatal(err)
		}
		var got int
		var err error
		if e := a.(*tcpConn).raw.Control(func(fd uintptr) {
			got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater)
		}); e != nil || err != nil || got != want {
			t.Errorf("set to %d, got %d, %v, %v", want, got, e, err)
		}
	}
	a.Close()
	if err := w.SetUnsentLowWater(1 << 10); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
