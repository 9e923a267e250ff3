package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// h2Peer is HTTP/2 of net/http over TLS: a stream is a request whose body and
// response body both flow. One connection for each session.
func h2Peer() *Peer {
	return &Peer{
		Name:        "h2",
		Multiplexes: true,
		Resumes:     true,
		Listen: func(handle func(Stream)) (*Server, error) {
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c := http.NewResponseController(w)
				if err := c.Flush(); err != nil {
					return
				}
				own(func() { handle(h2Response{r.Body, w, c}) })
			})
			return listenHTTP(h, &http.HTTP2Config{MaxConcurrentStreams: mostStreams}, "h2")
		},
		Dialer: func(e Endpoint) (Dialer, error) {
			config, err := clientTLS(e, "h2")
			return func(context.Context) (Session, error) {
				t := &http.Transport{
					TLSClientConfig: config,
					HTTP2:           &http.HTTP2Config{StrictMaxConcurrentRequests: true},
					Protocols:       new(http.Protocols),
					DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dialTCP(ctx, e.Addr) },
				}
				t.Protocols.SetHTTP2(true)
				return h2Session{t}, nil
			}, err
		},
	}
}

type h2Session struct{ t *http.Transport }

func (s h2Session) Open(_ context.Context, _ bool) (Stream, error) {
	r, w := io.Pipe()
	// The request lives as long as the stream, longer than the caller's context.
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://bench/", r)
	if err != nil {
		cancel()
		return nil, err
	}
	st := &h2Request{PipeWriter: w, cancel: cancel, answered: make(chan struct{})}
	// What is written leaves with the request, before the response begins.
	go func() {
		defer close(st.answered)
		if st.body, st.err = s.roundTrip(request); st.err != nil {
			r.CloseWithError(st.err)
		}
	}()
	return st, nil
}

func (s h2Session) roundTrip(request *http.Request) (io.ReadCloser, error) {
	response, err := s.t.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.ProtoMajor != 2 {
		response.Body.Close()
		return nil, fmt.Errorf("bench: h2 spoke %s", response.Proto)
	}
	return response.Body, nil
}

func (s h2Session) Close() error {
	s.t.CloseIdleConnections()
	return nil
}

// h2Request is the client's end of a stream.
type h2Request struct {
	*io.PipeWriter
	cancel   context.CancelFunc
	answered chan struct{} // closed when the next two are set
	body     io.ReadCloser
	err      error
}

func (s *h2Request) Read(p []byte) (int, error) {
	<-s.answered
	if s.err != nil {
		return 0, s.err
	}
	return s.body.Read(p)
}

func (s *h2Request) Close() error {
	s.PipeWriter.Close()
	s.cancel()
	<-s.answered
	if s.err != nil {
		return s.err
	}
	return s.body.Close()
}

// h2Response is the server's end of a stream.
type h2Response struct {
	io.Reader
	w http.ResponseWriter
	c *http.ResponseController
}

func (s h2Response) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, s.c.Flush()
}

func (s h2Response) Close() error { return nil }
