//go:build !js

package session

// transports are those that sessions are tested over; an empty URL is a pipe.
func transports(f func(name, url string)) {
	f("pipe", "")
	f("tcp", "tcp://127.0.0.1:0")
	f("ws", "ws://127.0.0.1:0/msl")
}
