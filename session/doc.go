// Package session sets channels up and gives them to applications as sessions
// with streams: the one place that knows both classic MSL and the channel.
//
// [Dial] and [Accept] run the two halves of a set-up over a connection (channel
// set-up 4.1 to 4.5): one MSL request and one response, whose bytes as sent are
// bound into the channel's keys, and one record each way that proves them. First
// contact authenticates with entity authentication data and exchanges keys by
// scheme HPKE; a resumed set-up goes under a master token, with a fresh key share
// and, where there are signing keys, with AUTH in the first records.
//
// A [Session] joins the channel's record layer (session/link) and its streams
// (session/mux).
//
// # Key management
//
// Private keys of a set-up live until it is over, the secrets of records until
// the next generation. A new token is stored, an old one dropped, a pin written
// only when the other side has proved that it has the channel's keys.
package session
