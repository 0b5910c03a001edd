// Command vaultctl is the operator's command: companies, keys, the state of the archive, and the account of every message. It speaks to real
// AWS or to the local endpoints, whichever the SDK's ordinary environment names, and takes the names of tables, buckets and queues
// from the same variables as the functions. It shows content only after an audit entry says who asked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/config"
	"github.com/wecomvault/wecomvault/shared/financesdk/sdkhost"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/objstore"
	"github.com/wecomvault/wecomvault/shared/queue"
	"github.com/wecomvault/wecomvault/shared/sdkbody"
	"github.com/wecomvault/wecomvault/shared/sdklog"
	"github.com/wecomvault/wecomvault/shared/secrets"
)

// settings is where the archive is. The stack's outputs have these values.
type settings struct {
	Control   string `env:"CONTROL_TABLE"`
	Messages  string `env:"MESSAGES_TABLE"`
	Directory string `env:"DIRECTORY_TABLE"`
	Audit     string `env:"AUDIT_TABLE"`
	Bucket    string `env:"ARCHIVE_BUCKET"`
	Redrives  string `env:"REDRIVE_QUEUE_URL"`
	Secrets   string `env:"SECRETS_PREFIX"`
	Seal      string `env:"SECRETS_KEY_ARN"` // the KMS key that the functions may open secrets with

	Host    string `env:"SDK_HOST" optional:"true"` // program that holds the library; empty: this one
	Library string `env:"SDK_LIB" optional:"true"`  // path of Tencent's library; only replay from batches needs it

	// Only the commands fsck, doctor and people need these.
	Fsck              string `env:"FSCK_FUNCTION" optional:"true"`
	DirectoryFunction string `env:"DIRECTORY_FUNCTION" optional:"true"`
	Fetch             string `env:"FETCH_FUNCTION" optional:"true"`
	Batches           string `env:"BATCH_QUEUE_URL" optional:"true"`
	Media             string `env:"MEDIA_QUEUE_URL" optional:"true"`
	Reports           string `env:"REPORT_QUEUE_URL" optional:"true"`
	Mails             string `env:"MAIL_QUEUE_URL" optional:"true"`
	Tells             string `env:"TELL_QUEUE_URL" optional:"true"`
	TellFunction      string `env:"TELL_FUNCTION" optional:"true"` // corps add and set need it too
	Feedback          string `env:"FEEDBACK_QUEUE_URL" optional:"true"`
	ReportsBucket     string `env:"REPORTS_BUCKET" optional:"true"`
	From              string `env:"MAIL_FROM" optional:"true"`
	Callbacks         string `env:"CALLBACK_URL" optional:"true"` // where the addresses for WeCom begin; empty: there are none
	Trial             bool   `env:"TRIAL" optional:"true"`        // the stack may be locked in governance mode

	Chats time.Duration `env:"MESSAGE_WINDOW" default:"120h"`
	Files time.Duration `env:"MEDIA_WINDOW" default:"72h"`
}

// program is what the commands work with.
type program struct {
	out, log io.Writer
	actor    string
	ledger   *ledger.Ledger
	store    *objstore.Store
	reports  *objstore.Store // nil: nobody said where
	vault    *secrets.Store
	redrives *queue.Queue[queue.RedriveJob]

	tables        ledger.Tables
	host, library string        // of Tencent's library
	second        time.Duration // before replay looks again at what may only be under way
	most          int           // rows that may differ, but for those that replay only has to write; 0: mostDifferent

	aws   aws.Config
	where settings

	functions *lambda.Client
	check     string // the function fsck
	windows   ledger.Windows
}

// command is one of the program's commands. args are what follows its name.
type command struct {
	name, usage string
	run         func(ctx context.Context, p *program, args []string) error
}

func commands() []command {
	return []command{
		{"status", "status [-corp ID]: what is archived, what waits, how long until something is lost", status},
		{"corps", "corps list | add -corp ID -secret-file FILE -report-to ADDRESS,… [SETTINGS] | set -corp ID SETTINGS: companies; SETTINGS are -name NAME, -report-to ADDRESS,…, " +
			"-lang zh|en, -secret-file, -contacts-secret-file and -customer-secret-file FILE, and -app-secret-file FILE -app-agent N, by which users without email are told in WeCom", corps},
		{"callbacks", "callbacks set -corp ID -kind contacts|customer|archive -token-file FILE -key-file FILE | list -corp ID: the Token and EncodingAESKey of an address " +
			"to which WeCom tells of changes, entered here before WeCom's console is told the address", callbacks},
		{"keys", "keys list -corp ID | new -corp ID [-ver N] | add -corp ID -ver N -file FILE.pem [-wait]: private keys by version", keys},
		{"receivers", receiversUsage, receivers},
		{"people", peopleUsage, people},
		{"rooms", roomsUsage, rooms},
		{"messages", "messages -corp ID [-format jsonl]: one JSON object a line for every seq ever handed out", messages},
		{"set-aside", "set-aside -corp ID [-reason WORD] [-ver N]: items that can't be opened, one JSON object a line", setAside},
		{"redrive", "redrive -corp ID [-reason WORD] [-ver N] [-wait]: try set-aside items again; -wait tells until nothing changes any more", redrive},
		{"replay", replayUsage, replay},
		{"doctor", doctorUsage, examine},
		{"rebuild", "rebuild -corp ID [-kms-key ARN]: make the ledger of a corp anew from the bucket, where the table of cursors and batches is lost for good\n" +
			"  rebuild directory [-corp ID] [-mend [-kms-key ARN]]: make the history of the directory anew from WeCom's answers in the bucket and hold the ledger's " +
			"against it, one JSON object a difference; -mend writes what differs, and makes the table if it is lost\n" +
			"  rebuild consent [-corp ID] [-mend]: the same for who agreed to being archived, of WeCom's answers in the bucket and of messages", rebuild},
		{"fsck", "fsck [-corp ID]: check the archive against its ledger, mend what can be mended, one JSON object a finding", fsck},
	}
}

func main() {
	sdkhost.RunIfChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "vaultctl:", err)
		var wrong *usageError
		if errors.As(err, &wrong) {
			os.Exit(2)
		}
		var open *toDoError
		if errors.As(err, &open) {
			os.Exit(3)
		}
		os.Exit(1)
	}
}

// usageError is a call that can't be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage() *usageError { return &usageError{overview()} }

func run(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) == 0 {
		return usage()
	}
	help := asksHelp(args)
	if args[0] == "help" {
		args = args[1:]
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return len(args) > 0 && c.name == args[0] })
	if help {
		text := overview()
		if i >= 0 {
			text = all[i].help(strings.Join(args[1:min(2, len(args))], ""))
		}
		_, err := fmt.Fprintln(out, text)
		return err
	}
	if i < 0 {
		return &usageError{fmt.Sprintf("there is no command %q\n%s", args[0], usage())}
	}
	p, err := open(ctx, out, log)
	if err != nil {
		return err
	}
	return all[i].run(ctx, p, args[1:])
}

func open(ctx context.Context, out, log io.Writer) (*program, error) {
	var s settings
	if err := config.Fill(&s, os.Getenv); err != nil {
		return nil, fmt.Errorf("where is the archive? Set these variables to the stack's outputs (make ctl does it for local data):\n%w", err)
	}
	aws, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithAPIOptions([]func(*middleware.Stack) error{sdkbody.Plain}),
		awsconfig.WithLogger(sdklog.New(func(text string) { fmt.Fprintln(log, "vaultctl: the AWS SDK warns:", text) })))
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	tables := ledger.Tables{Control: s.Control, Messages: s.Messages, Directory: s.Directory, Audit: s.Audit}
	var reports *objstore.Store
	if s.ReportsBucket != "" {
		reports = objstore.New(s3.NewFromConfig(aws), s.ReportsBucket)
	}
	return &program{
		reports: reports,
		out:     out, log: log, actor: actor(), tables: tables, host: s.Host, library: s.Library, second: 2 * time.Second,
		ledger:   ledger.New(dynamodb.NewFromConfig(aws), tables),
		store:    objstore.New(s3.NewFromConfig(aws), s.Bucket),
		vault:    secrets.New(secretsmanager.NewFromConfig(aws), s.Secrets).SealWith(s.Seal),
		redrives: queue.New[queue.RedriveJob](sqs.NewFromConfig(aws), s.Redrives),
		// A check may take Lambda's quarter of an hour, and is not begun twice.
		functions: lambda.NewFromConfig(aws, func(o *lambda.Options) { o.RetryMaxAttempts = 1 }), check: s.Fsck,
		windows: ledger.Windows{Messages: s.Chats, Media: s.Files}, aws: aws, where: s,
	}, nil
}

// actor names who runs the command, for the audit stream: AWS's own trail has the identity that signed the calls.
func actor() string {
	u, err := user.Current()
	if err != nil {
		return "vaultctl"
	}
	return "vaultctl:" + u.Username
}

// audit keeps an entry before its action shows or changes anything.
func (p *program) audit(ctx context.Context, action string, corp archive.CorpID, object string) error {
	return p.ledger.Audit(ctx, ledger.AuditEntry{At: clock.Now(), Actor: p.actor, Action: action, Corp: corp, Object: object, Outcome: "begun"})
}

// flags returns a flag set whose errors become usage errors.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		command, _, _ := strings.Cut(f.Name(), " ")
		return &usageError{fmt.Sprintf("%s: %v (vaultctl %s -h says how it is called)", f.Name(), err, command)}
	}
	if f.NArg() > 0 {
		return &usageError{fmt.Sprintf("%s: %q is one word too many", f.Name(), f.Arg(0))}
	}
	return nil
}

// within does what a command's second word says.
func within(ctx context.Context, p *program, name string, args []string, all ...command) error {
	words := make([]string, len(all))
	for i, c := range all {
		words[i] = c.name
	}
	last := len(words) - 1
	list := strings.Join(words[:last], ", ") + " or " + words[last]
	if len(args) == 0 {
		return &usageError{name + ": " + list + "?"}
	}
	i := slices.Index(words, args[0])
	if i < 0 {
		return &usageError{fmt.Sprintf("%s: %s, not %q", name, list, args[0])}
	}
	return all[i].run(ctx, p, args[1:])
}

// ofCorp reads flags, with -corp among them, and that corp's row.
func (p *program) ofCorp(ctx context.Context, f *flag.FlagSet, args []string) (ledger.Corp, error) {
	id := f.String("corp", "", "")
	if err := parse(f, args); err != nil {
		return ledger.Corp{}, err
	}
	return p.known(ctx, *id)
}

// known reads a corp's row and says what to do if there is none.
func (p *program) known(ctx context.Context, id string) (ledger.Corp, error) {
	if id == "" {
		return ledger.Corp{}, &usageError{"-corp ID is needed"}
	}
	c, err := p.ledger.Corp(ctx, archive.CorpID(id))
	if errors.Is(err, ledger.ErrAbsent) {
		return ledger.Corp{}, fmt.Errorf("there is no corp %q here: vaultctl corps list shows those there are, vaultctl corps add begins one", id)
	}
	return c, err
}
