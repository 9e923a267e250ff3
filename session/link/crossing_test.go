package link

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/mslgo/msl/framing"
	"github.com/mslgo/msl/session/frame"
	"github.com/mslgo/msl/stream"
	"github.com/mslgo/msl/transport"
)

// What the peer sent before it had our CLOSE may change its keys, with which it
// then seals its own CLOSE.
func TestChangeOfKeysCrossesClose(t *testing.T) {
	secret := make([]byte, stream.SecretLength)
	update := func(p *peer) error { return p.side.cfg.Sealer.Update() }
	change := func(p *peer) error { return p.side.cfg.Sealer.Switch(secret) }
	data := func(b string) []byte { return append(frame.AppendStreamHeader(nil, 0, len(b), false), b...) }
	opened, err := frame.NewMetadata(map[string]string{"a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		frames [][]byte
		keys   func(*peer) error
	}{
		{"nothing", nil, nil},
		{"KEY_UPDATE", [][]byte{frame.AppendKeyUpdate(nil)}, update},
		{"KEY_UPDATE behind ACK", [][]byte{frame.AppendAck(nil, 1), frame.AppendKeyUpdate(nil)}, update},
		{"REKEY_SWITCH", [][]byte{frame.AppendRekeySwitch(nil, 1)}, change},
		{"REKEY_SWITCH behind data", [][]byte{data("some"), frame.AppendRekeySwitch(nil, 1)}, change},
		{"KEY_UPDATE behind every frame", [][]byte{
			{0}, aPing, frame.AppendPong(nil, [8]byte{}), frame.AppendAck(nil, 1), frame.AppendResetStream(nil, 0, 1),
			frame.AppendStopSending(nil, 0, 1), frame.AppendStreamOpen(nil, &frame.StreamOpen{Label: []byte("l"), Metadata: opened}),
			data("some"), frame.AppendMaxData(nil, 1), frame.AppendMaxStreamData(nil, 0, 1), frame.AppendMaxStreams(nil, 1),
			frame.AppendRekey(nil, frame.Rekey{Share: []byte("s")}), frame.AppendRekeyAsk(nil), frame.AppendAuth(nil, []byte("e"), []byte("s")),
			frame.AppendControl(nil, frame.ControlPart{Data: []byte("c")}), frame.AppendGoaway(nil, 1), {0x40, 0x40, 2, 1, 2},
			frame.AppendKeyUpdate(nil),
		}, update},
	} {
		for _, initiator := range []bool{true, false} {
			t.Run(tc.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var controls []*switcher
					a, b := pair(t, nil, nil, func(_ bool, c *Config) {
						s := &switcher{queued: new(atomic.Bool), got: new(atomic.Int32), secret: secret}
						controls = append(controls, s)
						c.Control = s
					})
					if !initiator {
						a, b = b, a
						controls[0] = controls[1]
					}
					controls[0].link = a.Link
					var far transport.Conn
					a.conn, far = transport.Pipe()
					a.attach(t)
					p := &peer{t, far, framing.NewReader(far, framing.Limits{}), b}
					defer p.conn.Close()
					defer p.r.Close()
					closed := make(chan error, 1)
					go func() { closed <- a.Close(t.Context(), frame.CodeNoError, "") }()
					p.awaitClose()
					n := uint64(0)
					if tc.frames != nil {
						p.send(tc.frames...)
						if err := tc.keys(p); err != nil {
							t.Fatal(err)
						}
						n++
					}
					p.send(frame.AppendAck(nil, b.cfg.Opener.Seq()), frame.AppendClose(nil, 0, ""))
					p.await("ACK of CLOSE", func(b []byte) bool { got, ok := ackOf(b); return ok && got == n+1 })
					if err := <-closed; err != nil {
						t.Errorf("Close: %v", err)
					}
					<-a.Done()
				})
			})
		}
	}
}
