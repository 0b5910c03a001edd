// Package reading owns how a corp's directory is read out of WeCom's answers: what is asked with which secret, what a missing answer means, how answers are
// kept so that they can be read again without WeCom, and what history follows from all that is kept. It writes to no store itself.
package reading
