package ses

import (
	"context"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/wecomvault/wecomvault/shared/local/awslocal/authz"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/iam"
	"github.com/wecomvault/wecomvault/shared/local/awslocal/protocol"
)

const (
	namespace = "http://ses.amazonaws.com/doc/2010-12-01/"
	version   = "2010-12-01"
)

var tagPart = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

// ServeHTTP answers one request of the query protocol, whose caller the front has put into its context.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Not ParseForm: it stops at 10 MB, where a mail that SES takes is longer once it is encoded. The front has its own limit.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		protocol.QueryRefusal(w, namespace, protocol.Refuse("MalformedQueryString", "%v", err))
		return
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		protocol.QueryRefusal(w, namespace, protocol.Refuse("MalformedQueryString", "%v", err))
		return
	}
	f := &form{values: values, read: map[string]bool{}}
	action := f.get("Action")
	result, err := s.run(r.Context(), action, f)
	if err != nil {
		protocol.QueryRefusal(w, namespace, err)
		return
	}
	protocol.QueryAnswer(w, namespace, action, result)
}

func (s *Service) run(ctx context.Context, action string, f *form) (any, error) {
	if v := f.get("Version"); v != version {
		return nil, protocol.Refuse("NoSuchVersion", "the local endpoint speaks SES of version %s, not %q", version, v)
	}
	operations := map[string]func(context.Context, *form) (any, error){
		"SendRawEmail":                      s.sendRaw,
		"GetSendQuota":                      s.getQuota,
		"VerifyEmailIdentity":               s.verify,
		"ListIdentities":                    s.listIdentities,
		"GetIdentityVerificationAttributes": s.verification,
	}
	operation, known := operations[action]
	if !known {
		return nil, protocol.Refuse("InvalidAction", "the operation ses:%s is not supported by the local endpoint", action)
	}
	return operation(ctx, f)
}

// form reads parameters and knows afterwards which ones nobody read.
type form struct {
	values url.Values
	read   map[string]bool
}

func (f *form) get(name string) string {
	f.read[name] = true
	return f.values.Get(name)
}

// list reads name.member.1, name.member.2 and so on.
func (f *form) list(name string) []string {
	var out []string
	for i := 1; ; i++ {
		key := name + ".member." + strconv.Itoa(i)
		if !f.values.Has(key) {
			return out
		}
		out = append(out, f.get(key))
	}
}

// done refuses the parameters that nobody has read.
func (f *form) done() error {
	for name := range f.values {
		if !f.read[name] {
			return invalid("the parameter %s is not supported by the local endpoint", name)
		}
	}
	return nil
}

func (s *Service) arn(identity string) string {
	return "arn:aws:ses:" + s.region + ":" + s.account + ":identity/" + identity
}

func (s *Service) sendRaw(ctx context.Context, f *form) (any, error) {
	source, destinations, configuration := f.get("Source"), f.list("Destinations"), f.get("ConfigurationSetName")
	data := f.get("RawMessage.Data")
	tags := map[string]string{}
	for i := 1; f.values.Has(fmt.Sprintf("Tags.member.%d.Name", i)); i++ {
		name, value := f.get(fmt.Sprintf("Tags.member.%d.Name", i)), f.get(fmt.Sprintf("Tags.member.%d.Value", i))
		if !tagPart.MatchString(name) || !tagPart.MatchString(value) {
			return nil, invalid("Invalid tag <%s, %s>: only alphanumeric ASCII characters, '_' and '-' are allowed, 1 to 256 of them.", name, value)
		}
		tags[name] = value
	}
	if err := f.done(); err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil || len(raw) == 0 {
		return nil, invalid("RawMessage.Data is empty or no base64.")
	}
	header, err := check(raw)
	if err != nil {
		return nil, err
	}
	from, err := mail.ParseAddress(header.Get("From"))
	if err != nil {
		return nil, invalid("The header 'From' can't be parsed: %v", err)
	}
	envelope := from
	if source != "" {
		if envelope, err = mail.ParseAddress(source); err != nil {
			return nil, invalid("Missing final '@domain': the Source can't be parsed.")
		}
	}
	if destinations, err = recipients(destinations, header); err != nil {
		return nil, err
	}
	if err := s.permit(ctx, from, envelope, destinations, configuration); err != nil {
		return nil, err
	}
	if configuration != "" && !s.hasConfiguration(configuration) {
		return nil, protocol.Refuse("ConfigurationSetDoesNotExist", "Configuration set <%s> does not exist.", configuration)
	}
	if err := s.admit(); err != nil {
		return nil, err
	}
	id, err := s.keep(Mail{Source: envelope.Address, Destinations: destinations, ConfigurationSet: configuration, Tags: tags, Subject: subject(header)}, raw, header)
	if err != nil {
		return nil, err
	}
	return struct {
		MessageID string `xml:"MessageId"`
	}{id}, nil
}

// recipients are those of the call or, if it names none, those of the mail's own header.
func recipients(named []string, header mail.Header) ([]string, error) {
	if len(named) == 0 {
		for _, name := range []string{"To", "Cc", "Bcc"} {
			if header.Get(name) == "" {
				continue
			}
			list, err := header.AddressList(name)
			if err != nil {
				return nil, invalid("The header '%s' can't be parsed: %v", name, err)
			}
			for _, a := range list {
				named = append(named, a.Address)
			}
		}
	}
	if len(named) == 0 {
		return nil, invalid("Destination is required and should not be empty")
	}
	if len(named) > MaxRecipients {
		return nil, invalid("Recipient count exceeds %d.", MaxRecipients)
	}
	out := make([]string, len(named))
	for i, one := range named {
		a, err := mail.ParseAddress(one)
		if err != nil {
			return nil, invalid("Missing final '@domain': recipient %d can't be parsed.", i+1)
		}
		out[i] = a.Address
	}
	return out, nil
}

// permit asks the caller's role, and then whether the senders are verified.
func (s *Service) permit(ctx context.Context, from, envelope *mail.Address, destinations []string, configuration string) error {
	keys := map[string]string{"ses:FromAddress": from.Address, "ses:FromDisplayName": from.Name,
		"ses:FeedbackAddress": envelope.Address, "ses:Recipients": strings.Join(destinations, iam.MultiValue)}
	var unverified []string
	for _, address := range []string{envelope.Address, from.Address} {
		identity, err := s.identity(address)
		if err != nil {
			return err
		}
		if identity == "" {
			identity = address
			if !slices.Contains(unverified, address) {
				unverified = append(unverified, address)
			}
		}
		if err := authz.Check(ctx, authz.Request{Action: "ses:SendRawEmail", Resource: s.arn(identity), Context: keys}); err != nil {
			return err
		}
	}
	if configuration != "" {
		resource := "arn:aws:ses:" + s.region + ":" + s.account + ":configuration-set/" + configuration
		if err := authz.Check(ctx, authz.Request{Action: "ses:SendRawEmail", Resource: resource, Context: keys}); err != nil {
			return err
		}
	}
	if len(unverified) > 0 {
		return protocol.Refuse("MessageRejected", "Email address is not verified. The following identities failed the check in region %s: %s",
			strings.ToUpper(s.region), strings.Join(unverified, ", "))
	}
	return nil
}

func (s *Service) hasConfiguration(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configurations[name]
}

func (s *Service) getQuota(ctx context.Context, f *form) (any, error) {
	if err := f.done(); err != nil {
		return nil, err
	}
	if err := authz.Check(ctx, authz.Request{Action: "ses:GetSendQuota", Resource: "*"}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return struct {
		Max24HourSend, MaxSendRate, SentLast24Hours float64
	}{float64(s.quota.PerDay), float64(s.quota.PerSecond), float64(len(s.recent))}, nil
}

// verify takes an address for verified at once: locally nobody could click on the link in AWS's mail.
func (s *Service) verify(ctx context.Context, f *form) (any, error) {
	address := f.get("EmailAddress")
	if err := f.done(); err != nil {
		return nil, err
	}
	if err := authz.Check(ctx, authz.Request{Action: "ses:VerifyEmailIdentity", Resource: "*"}); err != nil {
		return nil, err
	}
	a, err := mail.ParseAddress(address)
	if err != nil {
		return nil, invalid("Invalid email address.")
	}
	return struct{}{}, s.Verify(a.Address)
}

type stringList struct {
	Member []string `xml:"member"`
}

func (s *Service) listIdentities(ctx context.Context, f *form) (any, error) {
	kind := f.get("IdentityType")
	if err := f.done(); err != nil {
		return nil, err
	}
	if err := authz.Check(ctx, authz.Request{Action: "ses:ListIdentities", Resource: "*"}); err != nil {
		return nil, err
	}
	var out struct{ Identities stringList }
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(identityBucket).ForEach(func(k, _ []byte) error {
			isAddress := strings.Contains(string(k), "@")
			if kind == "" || isAddress == (kind == "EmailAddress") {
				out.Identities.Member = append(out.Identities.Member, string(k))
			}
			return nil
		})
	})
	return out, err
}

func (s *Service) verification(ctx context.Context, f *form) (any, error) {
	identities := f.list("Identities")
	if err := f.done(); err != nil {
		return nil, err
	}
	if err := authz.Check(ctx, authz.Request{Action: "ses:GetIdentityVerificationAttributes", Resource: "*"}); err != nil {
		return nil, err
	}
	type entry struct {
		Key    string `xml:"key"`
		Status string `xml:"value>VerificationStatus"`
	}
	var out struct {
		XMLName xml.Name `xml:"GetIdentityVerificationAttributesResult"`
		Entries []entry  `xml:"VerificationAttributes>entry"`
	}
	return out, s.db.View(func(tx *bbolt.Tx) error {
		for i, identity := range identities {
			// The answer is a map: who is asked for twice is in it once.
			if !slices.Contains(identities[:i], identity) && tx.Bucket(identityBucket).Get([]byte(normal(identity))) != nil {
				out.Entries = append(out.Entries, entry{identity, "Success"})
			}
		}
		return nil
	})
}
