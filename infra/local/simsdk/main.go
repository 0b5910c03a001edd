// Command simsdk stands where sdkhost and Tencent's library stand, for the simulated WeCom: a child process that speaks the frames of
// shared/financesdk/frames on descriptors 3 and 4, reaches WeCom through the proxy it is given, and opens the simulator's own
// cipher, which is not Tencent's. It answers with the return codes that the real library was seen to give, believes any certificate as that
// does, and dies on a short message text as that does.
//
// It shares the cipher with the simulator, and of the product it knows the frames alone. It holds no key and no secret: Init gets a
// placeholder.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
	"github.com/wecomvault/wecomvault/shared/local/simcipher"
)

func main() {
	if err := quiet(); err != nil {
		os.Exit(2)
	}
	plan, err := loadScript(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	if err := serve(plan, os.NewFile(frames.In, "requests"), os.NewFile(frames.Out, "answers")); err != nil {
		os.Exit(1)
	}
}

var errProtocol = errors.New("request out of order")

// host is the child's state: what Open gave it, and the token that it believes in.
type host struct {
	requests <-chan frames.Message
	answers  io.Writer
	wecom    *wecom
	script   script
	leaked   leaked
}

func serve(plan script, in io.Reader, out io.Writer) error {
	h := &host{requests: read(in), answers: out, script: plan}
	open, ok := (<-h.requests).(*frames.Open)
	if !ok {
		return errProtocol
	}
	switch {
	case open.Version != frames.Version:
		return h.answer(&frames.Failed{Word: frames.WordVersion, Sentence: fmt.Sprintf(
			"the parent speaks version %d of the frames, simsdk version %d: build both from one release", open.Version, frames.Version)})
	case open.Corp == "" || open.Secret == "":
		return h.answer(&frames.Failed{Word: frames.WordInit, Code: codeArgument, Sentence: "Init needs a corp id and a secret, of which the secret may be a placeholder"})
	}
	if code, ok := h.play("open", open.Corp); ok {
		return h.answer(&frames.Failed{Word: frames.WordInit, Code: code, Sentence: fmt.Sprintf("Init returned %d: check the corp id", code)})
	}
	h.wecom = newWeCom(open)
	if err := h.answer(&frames.Ready{Version: frames.Version, RSS: resident()}); err != nil {
		return err
	}
	for m := range h.requests {
		if err := h.do(m); err != nil {
			return err
		}
	}
	return nil
}

// read reads ahead, so that the parent's death ends this process even while a call hangs.
func read(in io.Reader) <-chan frames.Message {
	requests := make(chan frames.Message)
	go func() {
		buffered := bufio.NewReader(in)
		for {
			m, err := frames.Read(buffered)
			if err != nil {
				os.Exit(0)
			}
			requests <- m
		}
	}()
	return requests
}

func (h *host) answer(m frames.Message) error { return frames.Write(h.answers, m) }

func (h *host) do(m frames.Message) error {
	switch m := m.(type) {
	case *frames.ChatData:
		var raw []byte
		code, ok := h.play("chatdata", strconv.FormatUint(m.Seq, 10))
		if !ok {
			code, raw = h.wecom.chatData(m.Seq, m.Limit)
		}
		return h.answer(&frames.ChatDataAnswer{Code: code, Raw: raw, RSS: resident()})
	case *frames.Decrypt:
		return h.decrypt(m)
	case *frames.Media:
		code, ok := h.play("media", m.FileID)
		part := part{code: code}
		if !ok {
			part = h.wecom.media(m.Index, m.FileID)
		}
		return h.answer(&frames.MediaAnswer{Code: part.code, Data: part.data, Next: part.next, Finished: part.finished, RSS: resident()})
	case *frames.Ping:
		h.play("ping", "")
		return h.answer(&frames.Pong{RSS: resident()})
	default:
		return errProtocol
	}
}

func (h *host) decrypt(m *frames.Decrypt) error {
	// An item's result leaves together with the next item's mark, and no mark is late.
	var pending bytes.Buffer
	for i, item := range m.Items {
		index := uint32(i) // #nosec G115 -- a frame holds no more
		if err := frames.Write(&pending, &frames.Mark{Index: index}); err != nil {
			return fmt.Errorf("writing a mark: %w", err)
		}
		if _, err := pending.WriteTo(h.answers); err != nil {
			return fmt.Errorf("writing a mark: %w", err)
		}
		var raw []byte
		code, ok := h.play("decrypt", item.Msg)
		if !ok {
			code, raw = decryptData(string(item.Key), item.Msg)
		}
		if err := frames.Write(&pending, &frames.Opened{Index: index, Code: code, Raw: raw}); err != nil {
			return fmt.Errorf("writing a result: %w", err)
		}
	}
	if err := frames.Write(&pending, &frames.Done{RSS: resident()}); err != nil {
		return fmt.Errorf("writing the end: %w", err)
	}
	if _, err := pending.WriteTo(h.answers); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

// The return codes of Tencent's header.
const (
	codeOK          = 0
	codeArgument    = 10000
	codeNetwork     = 10001
	codeParse       = 10002
	codeSystem      = 10003
	codeFileID      = 10005
	codeDecrypt     = 10006
	codeEncryptKey  = 10008
	codeIP          = 10009
	codeDataExpired = 10010
)

func decryptData(key, message string) (int32, []byte) {
	if len(message) < simcipher.ShortestEnvelope {
		// QUIRK: the real library reads past the end of a short text, throws std::out_of_range and aborts its process.
		abort()
	}
	if key == "" {
		return codeArgument, nil
	}
	raw, err := simcipher.Open(key, message)
	switch {
	case err == nil:
		return codeOK, raw
	case errors.Is(err, simcipher.ErrOpen):
		return codeDecrypt, nil
	default:
		// QUIRK: for whatever else does not fit the real library was only ever seen to return this one.
		return codeEncryptKey, nil
	}
}

// abort ends this process by SIGABRT, as abort(3) does.
func abort() { end(syscall.SIGABRT) }

func end(signal syscall.Signal) {
	_ = syscall.Kill(os.Getpid(), signal) // if it fails, what follows is a hang, which ends the same way
	select {}                             // the signal is on its way
}

// resident is this process's resident memory in bytes, 0 if the system does not say.
func resident() uint64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(raw)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize()) // #nosec G115 -- a page's size is positive
}
