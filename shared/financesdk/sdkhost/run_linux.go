package sdkhost

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/wecomvault/wecomvault/shared/financesdk/frames"
)

// run is the child's life: from its descriptors to the exit code, which nobody reads but a person.
func run(in, out int) int {
	if err := quiet(); err != nil {
		return 2
	}
	for _, fd := range []int{in, out} {
		syscall.CloseOnExec(fd)
	}
	requests, answers := os.NewFile(uintptr(in), "requests"), os.NewFile(uintptr(out), "answers")
	if requests == nil || answers == nil {
		return 2
	}
	// The library keeps state by thread; one handle, one thread.
	runtime.LockOSThread()
	c := &child{requests: read(requests), answers: answers}
	if err := c.serve(); err != nil {
		return 1
	}
	return 0
}

// quiet takes descriptors 0 to 2 away from the terminal and the log, because the library prints refusals with the token's reason on
// them and Go a traceback with registers; and it forbids core dumps, which would hold messages.
func quiet() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close() // its copies stay
	for fd := range 3 {
		if err := syscall.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("point descriptor %d at %s: %w", fd, os.DevNull, err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// read reads requests ahead of the calls, so that the end of the pipe, which is the parent's death, ends this process even in the
// middle of a call that never returns.
func read(r io.Reader) <-chan frames.Message {
	requests := make(chan frames.Message)
	go func() {
		buffered := bufio.NewReader(r)
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

type child struct {
	requests <-chan frames.Message
	answers  io.Writer

	lib     *library
	sdk     unsafe.Pointer
	proxy   string
	passwd  string
	timeout int32
}

var errProtocol = errors.New("request out of order")

func (c *child) serve() error {
	first, ok := (<-c.requests).(*frames.Open)
	if !ok {
		return errProtocol
	}
	if failed := c.open(first); failed != nil {
		return c.answer(failed)
	}
	if err := c.answer(&frames.Ready{Version: frames.Version, RSS: resident()}); err != nil {
		return err
	}
	for m := range c.requests {
		if err := c.do(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *child) open(o *frames.Open) *frames.Failed {
	if o.Version != frames.Version {
		return &frames.Failed{Word: frames.WordVersion, Sentence: fmt.Sprintf("the parent speaks version %d of the frames, this host version %d; use programs of one release", o.Version, frames.Version)}
	}
	lib, err := load(o.Lib)
	if err != nil {
		var file *FileError
		if errors.As(err, &file) {
			return &frames.Failed{Word: file.Word, Sentence: file.Sentence}
		}
		return &frames.Failed{Word: frames.WordLoad, Sentence: err.Error()}
	}
	sdk := lib.newSdk()
	if sdk == nil {
		return &frames.Failed{Word: frames.WordNoHandle, Sentence: "the library's NewSdk gave no handle; it may be short of memory"}
	}
	if code := lib.init(sdk, o.Corp, o.Secret); code != 0 {
		return &frames.Failed{Word: frames.WordInit, Code: code, Sentence: fmt.Sprintf("the library's Init returned %d; check the corp id", code)}
	}
	c.lib, c.sdk = lib, sdk
	c.proxy, c.passwd = o.Proxy, o.Passwd
	c.timeout = int32(min(o.Timeout, 3600)) // bounded
	return nil
}

func (c *child) do(m frames.Message) error {
	switch m := m.(type) {
	case *frames.ChatData:
		return c.chatData(m)
	case *frames.Decrypt:
		return c.decrypt(m)
	case *frames.Media:
		return c.media(m)
	case *frames.Ping:
		return c.answer(&frames.Pong{RSS: resident()})
	default:
		return errProtocol
	}
}

func (c *child) answer(m frames.Message) error { return frames.Write(c.answers, m) }

func (c *child) chatData(m *frames.ChatData) error {
	code, raw := c.withSlice(func(slice unsafe.Pointer) int32 {
		return c.lib.getChatData(c.sdk, m.Seq, m.Limit, c.proxy, c.passwd, c.timeout, slice)
	})
	return c.answer(&frames.ChatDataAnswer{Code: code, Raw: raw, RSS: resident()})
}

// decrypt sends each item's result together with the next item's mark: one write an item, and no mark is late.
func (c *child) decrypt(m *frames.Decrypt) error {
	var pending bytes.Buffer
	for i, item := range m.Items {
		index := uint32(i) // a frame holds no more
		if err := frames.Write(&pending, &frames.Mark{Index: index}); err != nil {
			return err
		}
		if _, err := pending.WriteTo(c.answers); err != nil {
			return fmt.Errorf("write mark: %w", err)
		}
		code, raw := c.withSlice(func(slice unsafe.Pointer) int32 {
			return c.lib.decryptData(string(item.Key), item.Msg, slice)
		})
		if err := frames.Write(&pending, &frames.Opened{Index: index, Code: code, Raw: raw}); err != nil {
			return err
		}
	}
	if err := frames.Write(&pending, &frames.Done{RSS: resident()}); err != nil {
		return err
	}
	if _, err := pending.WriteTo(c.answers); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return nil
}

// withSlice lends a slice to a call and copies out what it holds afterwards, whatever the call returned: a refusal's text is worth
// having. The slice is freed on every path; leaked slices are how programs around this library have grown without bound.
func (c *child) withSlice(call func(slice unsafe.Pointer) int32) (int32, []byte) {
	slice := c.lib.newSlice()
	if slice == nil {
		return frames.CodeNoBuffer, nil
	}
	defer c.lib.freeSlice(slice)
	code := call(slice)
	raw, fits := c.lib.content(slice)
	if !fits {
		return frames.CodeTooLarge, nil
	}
	return code, raw
}

func (c *child) media(m *frames.Media) error {
	media := c.lib.newMediaData()
	if media == nil {
		return c.answer(&frames.MediaAnswer{Code: frames.CodeNoBuffer, RSS: resident()})
	}
	defer c.lib.freeMediaData(media)
	code := c.lib.getMediaData(c.sdk, m.Index, m.FileID, c.proxy, c.passwd, c.timeout, media)
	if code != 0 {
		return c.answer(&frames.MediaAnswer{Code: code, RSS: resident()})
	}
	data, fits := copied(c.lib.getData(media), c.lib.getDataLen(media))
	if !fits {
		return c.answer(&frames.MediaAnswer{Code: frames.CodeTooLarge, RSS: resident()})
	}
	return c.answer(&frames.MediaAnswer{
		Data:     data,
		Next:     c.lib.nextIndex(media),
		Finished: c.lib.isMediaDataFinish(media) != 0,
		RSS:      resident(),
	})
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
	return pages * uint64(os.Getpagesize()) // positive
}
