package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
)

// grpcPeer is grpc-go over TLS: a stream is a bidirectional call, each write
// one message of bytes.
func grpcPeer() *Peer {
	desc := grpc.StreamDesc{StreamName: "Carry", ServerStreams: true, ClientStreams: true}
	return &Peer{
		Name:        "grpc-go",
		Multiplexes: true,
		Resumes:     true,
		Listen: func(handle func(Stream)) (*Server, error) {
			config, der, err := serverTLS("h2")
			if err != nil {
				return nil, err
			}
			s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.ForceServerCodecV2(bytesCodec{}))
			served := desc
			served.Handler = func(_ any, st grpc.ServerStream) error {
				own(func() { handle(&grpcStream{stream: st}) })
				return nil
			}
			s.RegisterService(&grpc.ServiceDesc{ServiceName: "bench", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{served}}, nil)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			go func() { _ = s.Serve(l) }()
			return &Server{Endpoint{Addr: l.Addr().String(), Trust: der}, func() error { s.Stop(); return nil }}, nil
		},
		Dialer: func(e Endpoint) (Dialer, error) {
			config, err := clientTLS(e, "h2")
			return func(context.Context) (Session, error) {
				c, err := grpc.NewClient("passthrough:///"+e.Addr,
					grpc.WithTransportCredentials(credentials.NewTLS(config)),
					grpc.WithDefaultCallOptions(grpc.ForceCodecV2(bytesCodec{})))
				if err != nil {
					return nil, err
				}
				open := func(context.Context) (Stream, error) {
					ctx, cancel := context.WithCancel(context.Background())
					st, err := c.NewStream(ctx, &desc, "/bench/Carry")
					if err != nil {
						cancel()
						return nil, err
					}
					return &grpcStream{stream: st, cancel: cancel}, nil
				}
				return streamSession{open, c.Close}, nil
			}, err
		},
	}
}

// grpcStream is either end of a call as a Stream.
type grpcStream struct {
	stream interface {
		SendMsg(any) error
		RecvMsg(any) error
	}
	cancel context.CancelFunc // nil at the server
	rest   mem.BufferSlice
	reader *mem.Reader
}

func (s *grpcStream) Write(p []byte) (int, error) {
	// gRPC keeps the message after SendMsg has returned.
	if err := s.stream.SendMsg(mem.BufferSlice{mem.Copy(p, mem.DefaultBufferPool())}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *grpcStream) Read(p []byte) (int, error) {
	for s.reader == nil || s.reader.Remaining() == 0 {
		if s.reader != nil {
			s.reader.Close()
			s.reader = nil
		}
		if err := s.stream.RecvMsg(&s.rest); err != nil {
			return 0, err
		}
		s.reader = s.rest.Reader()
		s.rest.Free() // the reader has references of its own
	}
	return s.reader.Read(p)
}

func (s *grpcStream) Close() error {
	if s.cancel == nil {
		return nil
	}
	defer s.cancel()
	if c, ok := s.stream.(grpc.ClientStream); ok {
		return c.CloseSend()
	}
	return nil
}

// bytesCodec passes messages as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "bytes" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("bench: %T is no message", v)
	}
	return b, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*mem.BufferSlice)
	if !ok {
		return fmt.Errorf("bench: %T is no message", v)
	}
	data.Ref()
	*b = data
	return nil
}

var _ io.ReadWriteCloser = (*grpcStream)(nil)
