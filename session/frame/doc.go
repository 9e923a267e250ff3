// Package frame is the wire codec of the channel's frames (docs/protocol.md
// section 5): frame types with their layouts, variable-length integers, channel
// codes, and an Append and a Parse function for each frame. Nothing here holds
// state or allocates.
package frame
