// Package grpc shows that gRPC, which knows nothing of sessions, runs over one.
package grpc

import (
	"context"
	"fmt"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/mslgo/msl/peer"
	"github.com/mslgo/msl/session"
)

// TestGRPCOverASession dials a stock gRPC server through a session: unary calls
// side by side, and a server stream that stays open.
func TestGRPCOverASession(t *testing.T) {
	id, err := peer.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	states := health.NewServer()
	server := &peer.Server{
		Identity: id,
		Service:  "grpc",
		Session: func(_ context.Context, s *session.Session) {
			rpc := grpc.NewServer()
			healthpb.RegisterHealthServer(rpc, states)
			rpc.Serve(s.Listener())
		},
	}
	l, err := server.Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(context.Background(), l)
	defer server.Close()

	client := &peer.Client{Identity: id, Service: "grpc", Trust: peer.Pinned(id.Fingerprint())}
	sess, err := client.Dial(t.Context(), l.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer sess.Close()
	conn, err := grpc.NewClient("passthrough:///x",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the session below is secure
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return sess.OpenStream(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rpc := healthpb.NewHealthClient(conn)

	done := make(chan error)
	const calls = 100
	for i := range calls {
		go func() {
			name := fmt.Sprintf("service-%d", i)
			states.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
			got, err := rpc.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
			if err == nil && got.Status != healthpb.HealthCheckResponse_SERVING {
				err = fmt.Errorf("%s is %v", name, got.Status)
			}
			done <- err
		}()
	}
	for range calls {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	watch, err := rpc.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "service-0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
		got, err := watch.Recv()
		if err != nil || got.Status != want {
			t.Fatalf("watched %v, %v; want %v", got, err, want)
		}
		states.SetServingStatus("service-0", healthpb.HealthCheckResponse_NOT_SERVING)
	}
}
