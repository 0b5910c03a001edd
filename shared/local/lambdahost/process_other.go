//go:build !linux && !darwin

package lambdahost

import (
	"errors"
	"io"
)

func supported() error {
	return errors.New("functions run locally on Linux and macOS only: the host freezes and kills process groups")
}

type process struct{ exited chan struct{} }

func (p *process) how() string { return "" }
func (p *process) logged()     {}
func (p *process) freeze()     {}
func (p *process) thaw()       {}
func (p *process) kill()       {}

type spawner struct{}

func newSpawner() *spawner { return &spawner{} }
func (s *spawner) close()  {}
func (s *spawner) start(string, []string, io.Writer) (*process, error) {
	return nil, supported()
}
