// Package browser runs the part of peer's tests that is for browsers against a
// server of this process: the test binary, built for WebAssembly, runs in Node,
// whose WebSocket is that of browsers.
package browser
