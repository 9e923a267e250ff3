// Package natstest tests package nats against clusters of real servers of NATS,
// which it keeps out of the requirements of everybody else. The flag -rounds says
// how often a message is sent to all servers of a service at once.
package natstest
