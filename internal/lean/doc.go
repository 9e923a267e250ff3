// Package lean keeps heavy libraries out of what programs link: its test lists
// everything that the packages programs import would bring along.
package lean
