// Package financesdk owns the use of Tencent's archive library: pulling chat data, opening messages, downloading media. The library runs
// in a child process (sdkhost, or a simulated host) behind frames, and reaches WeCom through a gateway of ours; what it does to its
// process costs at most the call. The package classifies what went wrong and says what to do about it. It must not read the content
// of what it returns, keep a cursor, know AWS, or let the corp's secret or a private key near the child.
//
// The child is one process with one handle; calls on one SDK wait for each other. Nothing measures time across two invocations:
// Lambda freezes parent and child together, so patience is counted in ticks that were seen, and Wake asks at each invocation's start whether
// the child is still there.
package financesdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/fault"
	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
	"github.com/wecomvault/wecomvault/shared/financesdk/gateway"
)

// Defaults of Config.
const (
	DefaultTimeout   = 10 * time.Second
	DefaultHangAfter = 5 * time.Second
	DefaultMaxRSS    = 128 << 20
)

// Placeholder is the secret that the library is given. It refuses an empty one.
const Placeholder = "kept-outside-the-library"

// Secret prints as [secret].
type Secret string

func (Secret) String() string { return "[secret]" }

// GoString is String, for %#v.
func (Secret) GoString() string { return "[secret]" }

// LogValue is String, for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// Config says which library, for whom, and by which way.
type Config struct {
	// Host is the program that speaks frames, and its arguments. Empty: this program itself, which must call sdkhost.RunIfChild first.
	Host []string
	// Lib is the library's file. A simulated host needs none.
	Lib string
	// Corp is taken as it is.
	Corp archive.CorpID
	// Upstream is WeCom's base URL: https, or http on this machine for a simulator. Not needed without Token.
	Upstream string
	// Token returns the corp's access token; refresh asks for a new one because WeCom refused the last. Its errors may have the methods
	// ErrCode() int and ErrMsg() string. It is called from another goroutine, one call at a time. Nil: this SDK only decrypts, there is
	// no gateway, and the library is given no way to the network.
	Token func(ctx context.Context, refresh bool) (string, error)
	// Route sets the gateway's transport to WeCom on its way, for example through a company's proxy; nil: directly.
	Route func(*http.Transport)
	// Timeout is what the library is told for one call of GetChatData or GetMediaData, in whole seconds and at least 2. The gateway gives
	// up a little earlier, so that the reason is known; the child is killed 3 s later.
	Timeout time.Duration
	// HangAfter is how long DecryptData may take for one item.
	HangAfter time.Duration
	// MaxRSS is how many bytes the child may keep resident after a call. The next call then starts with a new child.
	MaxRSS uint64
	// GiveTheSecretToTheLibrary is for a library that refuses the gateway's certificate, and for nothing else: the library gets the secret,
	// speaks to WeCom itself through a blind tunnel, and Token is not used. A library that does not verify certificates gives it to
	// whoever is on its path. "" (the default): never.
	GiveTheSecretToTheLibrary Secret
	// Log hears of children that start and end; nil: nobody.
	Log *slog.Logger
}

// SDK is one corp's library. It is safe for concurrent use; calls take turns.
type SDK struct {
	cfg     Config
	gateway *gateway.Gateway // nil if it only decrypts
	turn    chan struct{}    // holds one token: whose turn it is owns all below

	child  *child
	closed bool
}

// Start starts the gateway and the first child, so that a library that can't be used is known at once. The error is an *Error then.
func Start(ctx context.Context, cfg Config) (*SDK, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	cfg.Timeout = max(2*time.Second, (cfg.Timeout + time.Second - 1).Truncate(time.Second))
	if cfg.HangAfter == 0 {
		cfg.HangAfter = DefaultHangAfter
	}
	if cfg.MaxRSS == 0 {
		cfg.MaxRSS = DefaultMaxRSS
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Lib != "" {
		lib, err := filepath.Abs(cfg.Lib)
		if err != nil {
			return nil, fmt.Errorf("find the library %s: %w", cfg.Lib, err)
		}
		cfg.Lib = lib
	}
	s := &SDK{cfg: cfg, turn: make(chan struct{}, 1)}
	if cfg.Token != nil {
		g, err := gateway.New(gateway.Config{
			Upstream: cfg.Upstream, Token: cfg.Token, Timeout: cfg.Timeout * 4 / 5, Route: cfg.Route,
			PassThrough: cfg.GiveTheSecretToTheLibrary != "",
		})
		if err != nil {
			return nil, err
		}
		s.gateway = g
	}
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// ChatData returns the answer of GetChatData for the seqs above after, byte for byte, unread: it may be a refusal of WeCom's, cut, or
// anything else, and archive.ParseBatch says what it is. Limit is 1 to 1000. Errors are an *Error, or ctx's.
func (s *SDK) ChatData(ctx context.Context, after archive.Seq, limit int) ([]byte, error) {
	const op = "chat data"
	if err := s.networked(op); err != nil {
		return nil, err
	}
	if limit < 1 || limit > 1000 {
		return nil, &Error{Op: op, Code: 10000, Reason: "bad-limit", Err: fmt.Errorf("limit %d is not within 1 to 1000", limit)}
	}
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var answer *frames.ChatDataAnswer
	err := s.call(ctx, op, &frames.ChatData{Seq: uint64(after), Limit: uint32(limit)}, func(m frames.Message) bool { // checked above
		var ok bool
		answer, ok = m.(*frames.ChatDataAnswer)
		return ok
	})
	if err != nil {
		return nil, err
	}
	s.child.rss = answer.RSS
	seen := s.child.seen()
	if answer.Code != 0 {
		return nil, s.refused(op, answer.Code, seen)
	}
	if len(bytes.TrimSpace(answer.Raw)) == 0 {
		return nil, &Error{Op: op, ErrCode: seen.ErrCode, Reason: "empty-answer", Err: errors.New("the library returned 0 and nothing else"), seen: seen}
	}
	// The library keeps a refused token until it has expired, so it has to forget everything.
	if seen.ErrCode == 0 {
		seen.ErrCode = refusal(answer.Raw)
	}
	if causeOfErrCode(seen.ErrCode) == CauseDeadToken {
		s.child.retire = true
	}
	return answer.Raw, nil
}

// Chunk is a part of a file.
type Chunk struct {
	Data     []byte // may be empty, also at the end
	Next     string // the index of the chunk after it; "" if Finished
	Finished bool
}

// MediaChunk returns the chunk of a file that index names; "" is the first, and Chunk.Next the following. Errors are an *Error, or ctx's;
// a permanent one (see fault) says that the file will not come any more. After another the same chunk may be asked for again.
func (s *SDK) MediaChunk(ctx context.Context, index, fileID string) (Chunk, error) {
	const op = "media"
	if err := s.networked(op); err != nil {
		return Chunk{}, err
	}
	if err := s.take(ctx); err != nil {
		return Chunk{}, err
	}
	defer s.release()
	if err := s.ready(ctx); err != nil {
		return Chunk{}, err
	}
	var answer *frames.MediaAnswer
	err := s.call(ctx, op, &frames.Media{Index: index, FileID: fileID}, func(m frames.Message) bool {
		var ok bool
		answer, ok = m.(*frames.MediaAnswer)
		return ok
	})
	if err != nil {
		return Chunk{}, err
	}
	s.child.rss = answer.RSS
	seen := s.child.seen()
	if answer.Code != 0 {
		if causeOfErrCode(seen.ErrCode) == CauseDeadToken {
			s.child.retire = true
		}
		return Chunk{}, s.refused(op, answer.Code, seen)
	}
	if answer.Finished {
		return Chunk{Data: answer.Data, Finished: true}, nil
	}
	// Asking for "" again would begin the file anew, and for the same index without a byte would never end.
	if answer.Next == "" || (answer.Next == index && len(answer.Data) == 0) {
		return Chunk{}, &Error{Op: op, ErrCode: seen.ErrCode, Reason: "media-no-next", Err: errors.New("the library says neither that the file ends nor how it goes on"), seen: seen}
	}
	return Chunk{Data: answer.Data, Next: answer.Next}, nil
}

// Wake is to be called at the start of each invocation: it asks the child whether it is there, and replaces it if not.
func (s *SDK) Wake(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if err := s.ready(ctx); err != nil {
		return err
	}
	var pong *frames.Pong
	err := s.call(ctx, "wake", &frames.Ping{}, func(m frames.Message) bool {
		var ok bool
		pong, ok = m.(*frames.Pong)
		return ok
	})
	if err == nil {
		s.child.rss = pong.RSS
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	return s.ready(ctx)
}

// Close ends the child and the gateway. A call that is under way is waited for.
func (s *SDK) Close() error {
	s.turn <- struct{}{}
	defer s.release()
	if s.closed {
		return nil
	}
	s.closed = true
	s.drop("closed")
	if s.gateway != nil {
		return s.gateway.Close()
	}
	return nil
}

// Child is the process id of the present child, 0 if there is none: for tests and for the log.
func (s *SDK) Child() int {
	s.turn <- struct{}{}
	defer s.release()
	if s.child == nil {
		return 0
	}
	return s.child.pid()
}

func (s *SDK) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the library: %w", ctx.Err())
	}
}

func (s *SDK) release() { <-s.turn }

func (s *SDK) networked(op string) error {
	if s.gateway == nil {
		return &Error{Op: op, Reason: "no-token", Err: errors.New("this library was started for opening messages only")}
	}
	return nil
}

// ready sees to it that there is a child that may be asked.
func (s *SDK) ready(ctx context.Context) error {
	if s.closed {
		return &Error{Op: "start", Reason: "closed", Err: errors.New("the library is closed")}
	}
	if c := s.child; c != nil {
		switch {
		case c.dead():
			s.drop("died between calls")
		case c.rss > s.cfg.MaxRSS:
			s.drop("grew too large")
		case c.retire:
			s.drop("had to forget its token")
		default:
			return nil
		}
	}
	return s.spawn(ctx)
}

// drop ends the child and waits until it is gone.
func (s *SDK) drop(why string) {
	if s.child == nil {
		return
	}
	s.cfg.Log.Debug("library child ends", slog.String("corp", string(s.cfg.Corp)), slog.Int("pid", s.child.pid()), slog.String("why", why),
		slog.Uint64("rss", s.child.rss))
	s.child.end()
	s.child = nil
}

// call asks the child and gives each of its answers to got, until that returns true. After an error there is no child any more.
func (s *SDK) call(ctx context.Context, op string, request frames.Message, got func(frames.Message) bool) error {
	patience := s.cfg.HangAfter
	switch request.(type) {
	case *frames.ChatData, *frames.Media:
		patience = s.cfg.Timeout + 3*time.Second
	}
	if s.child.session != nil {
		s.child.session.Begin()
	}
	err := s.child.exchange(ctx, request, patience, got)
	if err == nil {
		return nil
	}
	seen := s.child.seen()
	s.drop(err.Error())
	var reason fault.Reason
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", op, ctx.Err())
	case errors.Is(err, errHung):
		reason = ReasonHang
	default:
		reason = ReasonCrash
	}
	return &Error{Op: op, ErrCode: seen.ErrCode, Reason: reason, Err: err, seen: seen}
}
