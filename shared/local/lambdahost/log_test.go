package lambdahost

import (
	"io"
	"log/slog"
)

// captured is a logger that also announces each of its lines.
func captured(w io.Writer, lines chan<- string) *slog.Logger {
	return slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		lines <- string(p)
		return w.Write(p)
	}), nil))
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
