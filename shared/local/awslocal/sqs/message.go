package sqs

import (
	"crypto/md5" // #nosec G501 -- SQS's own checksum, which clients verify
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

// maxInFlight is AWS's quota for standard queues.
const maxInFlight = 120_000

var errOverLimit = &protocol.Error{Status: http.StatusForbidden, Code: "OverLimit", QueryCode: "OverLimit",
	Message: "Too many messages in flight; maximum is 120000."}

// attribute is a message attribute in the protocol's own form.
type attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\..{1,249})?$`)
	groupID       = regexp.MustCompile("^[A-Za-z0-9!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]{1,128}$")
)

// check refuses what AWS would refuse about a message and returns its size in bytes.
func check(body string, attributes map[string]attribute, group string, limit int) (size int, err error) {
	if body == "" {
		return 0, protocol.Refuse("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	for _, r := range body {
		if !(r == 0x9 || r == 0xA || r == 0xD || r >= 0x20 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000) {
			return 0, protocol.Refuse("InvalidMessageContents", "Invalid binary character '#x%X' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", r)
		}
	}
	size = len(body)
	if len(attributes) > 10 {
		return 0, invalid("Number of message attributes [%d] exceeds the allowed maximum [10].", len(attributes))
	}
	for name, a := range attributes {
		if !attributeName.MatchString(name) || strings.HasPrefix(strings.ToLower(name), "aws.") {
			return 0, invalid("The message attribute name '%s' is invalid.", name)
		}
		if !attributeType.MatchString(a.DataType) {
			return 0, invalid("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
		}
		binary := strings.HasPrefix(a.DataType, "Binary")
		if binary && len(a.BinaryValue) == 0 || !binary && (a.StringValue == nil || *a.StringValue == "") {
			return 0, invalid("The message attribute '%s' must contain a non-empty message attribute value for message attribute type '%s'.", name, a.DataType)
		}
		if strings.HasPrefix(a.DataType, "Number") {
			if _, err := strconv.ParseFloat(*a.StringValue, 64); err != nil {
				return 0, invalid("Can't cast the value of message attribute '%s' to a number.", name)
			}
		}
		size += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			size += len(*a.StringValue)
		}
	}
	if group != "" && !groupID.MatchString(group) {
		return 0, invalid("MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if size > limit {
		return 0, invalid("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	}
	return size, nil
}

func invalid(format string, args ...any) error {
	e := protocol.Refuse("InvalidParameterValue", format, args...)
	e.QueryCode = "InvalidParameterValue"
	return e
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) // #nosec G401 -- SQS's own checksum
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is the checksum that AWS documents for message attributes; "" if there are none.
func attributesMD5(attributes map[string]attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b []byte
	field := func(v string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v))) // #nosec G115 -- at most 1 MiB
		b = append(b, v...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		field(name)
		field(a.DataType)
		if strings.HasPrefix(a.DataType, "Binary") {
			b = append(b, 2)
			field(string(a.BinaryValue))
		} else {
			b = append(b, 1)
			field(*a.StringValue)
		}
	}
	return md5Hex(string(b))
}

// choose returns the attributes that a receiver asked for: by name, by "prefix.*", or all.
func choose(attributes map[string]attribute, names []string) map[string]attribute {
	out := map[string]attribute{}
	for name, a := range attributes {
		for _, want := range names {
			prefix, wild := strings.CutSuffix(want, "*")
			if want == "All" || want == name || wild && strings.HasPrefix(name, strings.TrimSuffix(prefix, ".")) {
				out[name] = a
			}
		}
	}
	return out
}

// token returns a fresh unguessable word.
func token() string {
	b := make([]byte, 18)
	// rand.Read never returns an error: it ends the program instead.
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// handle is a receipt handle: it names one receive of one message.
type handle struct {
	queue string
	seq   uint64
	token string
}

func (h handle) String() string {
	return base64.StdEncoding.EncodeToString([]byte(h.queue + "/" + strconv.FormatUint(h.seq, 10) + "/" + h.token))
}

func parseHandle(q *queue, s string) (handle, error) {
	bad := &protocol.Error{Status: 400, Code: "ReceiptHandleIsInvalid", QueryCode: "ReceiptHandleIsInvalid",
		Message: "The input receipt handle is invalid."}
	if s == "" {
		return handle{}, protocol.Refuse("MissingParameter", "The request must contain the parameter ReceiptHandle.")
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return handle{}, bad
	}
	parts := strings.Split(string(b), "/")
	if len(parts) != 3 || parts[0] != q.name {
		return handle{}, bad
	}
	seq, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return handle{}, bad
	}
	return handle{parts[0], seq, parts[2]}, nil
}
