package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/wecomvault/wecomvault/shared/local/template"
)

// The month of the bill, and what a company is taken to do in it. AWS's month has 730 hours.
const (
	monthHours = 730.0
	monthDays  = monthHours / 24

	perUser       = 30            // messages of an archived user a day
	talkHours     = 10            // of each day, in which they fall evenly
	attachmentsIn = 0.05          // attachments per message
	attachmentKB  = 300           // bytes of one, in KB, on average
	receivers     = 2             // of all daily reports: the measured company's
	keyVersions   = 2             // private keys held, each a secret
	pollEvery     = 5.0           // seconds; the template's default
	pollBytes     = 2 << 10       // of an empty poll through the NAT gateway, TLS's frames included; taken, not measured
	sqsPollers    = 5             // long polls of 20 s that Lambda keeps open on an idle queue
	largestPage   = 1000.0        // items in one answer of WeCom
	kmsReuse      = 300.0         // seconds for which SQS, DynamoDB and CloudWatch Logs use a data key again
	nightLimit    = 900.0         // seconds that fsck has in a night
	activeQueues  = 2             // whose messages are sealed and opened all day: batches and attachments
	handoverPart  = pollEvery / 2 // seconds for which two invocations of fetch overlap each minute: half a poll on average
)

// model is what the samples say of any company: each use is so much a message and so much a batch.
type model struct {
	message, batch usage
	pollUse        usage
	scheduled      map[string]usage // per invocation
	member         map[string]usage // per invocation and member, beside scheduled: of what grows with them
	firsts         float64          // write units a month of each member: people and conversations seen for the first time
	attachment     usage
	plain          float64
	stored, rows   line // bytes a message
	logs           float64
	metrics, pairs int
	fsckBatch      usage // per batch that a night's check looks at
}

// line is a straight line over 1/b: so much a message and so much a batch.
type line struct{ message, batch float64 }

func (l line) at(size float64) float64 { return l.message + l.batch/size }

// through lays a line through what two batch sizes measured.
func through(small, large float64, smallSize, largeSize int) line {
	k := (small - large) / (1/float64(smallSize) - 1/float64(largeSize))
	return line{message: large - k/float64(largeSize), batch: k}
}

// fit makes the model of the smallest and the largest batches measured. What a third size measures can be held against it.
func fit(samples []sample) model {
	small, large := samples[0], samples[len(samples)-1]
	m := model{message: usage{}, batch: usage{}, scheduled: map[string]usage{}, member: map[string]usage{}, fsckBatch: usage{}}
	ids := usage{}
	ids.add(small.path, 1)
	ids.add(large.path, 1)
	for id := range ids {
		each := func(s sample) float64 {
			if id == "ddb.write" {
				return (s.path[id] - s.firsts) / float64(s.messages)
			}
			return s.path[id] / float64(s.messages)
		}
		l := through(each(small), each(large), small.size, large.size)
		m.message[id], m.batch[id] = max(0, l.message), max(0, l.batch)
	}
	m.firsts = small.firsts / float64(small.members)
	m.pollUse, m.attachment, m.plain = large.pollUse, large.attachment, large.plain
	m.stored, m.rows = through(small.stored, large.stored, small.size, large.size), through(small.rows, large.rows, small.size, large.size)
	m.logs, m.metrics, m.pairs = small.logs, small.metrics, small.pairs
	for f, u := range large.scheduled {
		m.scheduled[f] = u
	}
	// directory reads every member each time, consent asks about everybody's contacts, and the noon's reports go through all.
	if more := float64(large.grown - large.members); large.grown > 0 && more > 0 {
		for f, grown := range large.grownUse {
			each, base := usage{}, usage{}
			for id, n := range grown {
				each[id] = max(0, n-large.scheduled[f][id]) / more
				base[id] = max(0, n-each[id]*float64(large.grown))
			}
			m.member[f], m.scheduled[f] = each, base
		}
	}
	// fsck's use grows with the batches that it looks at.
	m.fsckBatch.add(small.scheduled["FsckFunction"], 1/float64(small.checked))
	m.scheduled["FsckFunction"] = usage{}
	return m
}

// batchesADay is in how many answers so many messages a day come: a poll that finds something brings all that is there.
func batchesADay(messages float64) float64 {
	polls := talkHours * 3600 / pollEvery
	each := messages / polls
	return max(polls*(1-math.Exp(-each)), messages/largestPage)
}

// fixed is what stands in the template and is billed whether anybody speaks or not.
type fixed struct {
	keys, alarmMetrics, dashboards, logGroups, sources float64
	addresses, gateways                                float64
	schedules                                          map[string]float64 // invocations of each function a month
	functions                                          map[string]function
}

func fixedOf(t *template.Template) fixed {
	f := fixed{schedules: map[string]float64{}}
	f.functions, _ = functionsOf(t)
	for _, r := range t.Resources {
		switch r.Type {
		case "AWS::KMS::Key":
			f.keys++
		case "AWS::CloudWatch::Dashboard":
			f.dashboards++
		case "AWS::Logs::LogGroup":
			f.logGroups++
		case "AWS::EC2::EIP":
			f.addresses++
		case "AWS::EC2::NatGateway":
			f.gateways++
		case "AWS::CloudWatch::Alarm":
			f.alarmMetrics += float64(alarmMetrics(r.Properties))
		}
	}
	for _, fn := range t.Functions {
		f.sources += float64(len(fn.SQSSources))
		for _, s := range fn.Schedules {
			f.schedules[fn.LogicalID] += firings(s.Expression)
		}
	}
	return f
}

// alarmMetrics counts the metrics that an alarm looks at: an alarm over an expression is billed for each.
func alarmMetrics(properties map[string]any) int {
	list, ok := properties["Metrics"].([]any)
	if !ok {
		return 1
	}
	n := 0
	for _, one := range list {
		if q, ok := one.(map[string]any); ok && q["MetricStat"] != nil {
			n++
		}
	}
	return max(1, n)
}

// firings is how often a schedule of the template fires in a month.
func firings(expression string) float64 {
	for shape, n := range map[string]float64{
		"rate(1 minute)": monthHours * 60, "rate(5 minutes)": monthHours * 12, "rate(30 minutes)": monthHours * 2, "rate(1 hour)": monthHours, "cron(0/10 * * * ? *)": monthHours * 6,
	} {
		if expression == shape {
			return n
		}
	}
	if strings.HasPrefix(expression, "cron(") {
		return monthDays // once a day
	}
	return monthHours * 60 // unknown: rather too much than too little
}

// entry is one line of a bill.
type entry struct {
	name string
	use  usage
}

// company bills one month of a company of so many archived users, months after its first day.
func (m model) company(users float64, f fixed, months float64) []entry {
	messages := users * perUser
	batches := batchesADay(messages)
	size := messages / batches
	month := func(u usage, times float64) usage {
		out := usage{}
		out.add(u, times)
		return out
	}
	path := month(m.message, messages*monthDays)
	path.add(m.batch, batches*monthDays)
	path["ddb.write"] += m.firsts * users
	fetch := f.functions["FetchFunction"]
	firedFetch := f.schedules["FetchFunction"]
	following := usage{fetch.priceID(): firedFetch * (60 + handoverPart) * fetch.gb(), "lambda.request": firedFetch, "schedule": firedFetch}
	polling := month(m.pollUse, 86400/pollEvery*monthDays)
	polling["nat.gb"] += 86400 / pollEvery * monthDays * pollBytes / gigabyte
	files := month(m.attachment, messages*attachmentsIn*monthDays)
	if per := files["nat.gb"]; per > 0 {
		files["nat.gb"] = messages * attachmentsIn * monthDays * attachmentKB * 1024 / gigabyte
	}
	watching := usage{}
	for name, fired := range f.schedules {
		if name == "FetchFunction" {
			continue
		}
		watching["schedule"] += fired
		one := usage{}
		one.add(m.scheduled[name], 1)
		one.add(m.member[name], users)
		if name == "FsckFunction" {
			one = m.night(batches*monthDays*months, f.functions[name])
		}
		fn := f.functions[name]
		one[fn.priceID()] = min(one[fn.priceID()], fn.timeout.Seconds()*fn.gb()) // an invocation ends at its time-out
		watching.add(one, fired)
	}
	noons := usage{}
	noons.add(m.scheduled[noon], monthDays)
	noons.add(m.member[noon], users*monthDays)
	day := 3600 * monthHours / kmsReuse // renewals of a data key in a month
	keys := usage{"kms.key": f.keys, "kms.request": day * (3*activeQueues + float64(m.pairs) + f.logGroups)}
	logBytes := m.logs*batches*monthDays + 400*(firedFetch+monthHours*20)
	kept := messages * monthDays * months // messages stored by then
	return []entry{
		{"messages: writes, requests, process", path},
		{"fetch, running all day", following},
		{"polls that find nothing", polling},
		{"attachments: requests, media, NAT", files},
		{"schedules: directory, consent, watch, fsck", watching},
		{fmt.Sprintf("%s, to %d receivers", noon, receivers), noons},
		{"NAT gateway and its address, per hour", usage{"nat.hour": f.gateways * monthHours, "ipv4.hour": f.addresses * monthHours}},
		{"KMS keys and their requests", keys},
		{"secrets", usage{"secret": 3 + keyVersions}},
		{"alarms, metrics, dashboard", usage{"alarm": f.alarmMetrics, "metric": float64(m.metrics), "dashboard": f.dashboards}},
		{"queues polled by Lambda while empty", usage{"sqs.request": f.sources * sqsPollers * monthHours * 180}},
		{"logs", usage{"logs.gb": logBytes / gigabyte, "logs.storage": logBytes * min(months, 13) / gigabyte}},
		{"storage: batches and segments in S3", usage{"s3.storage": kept * m.stored.at(size) / gigabyte}},
		{"storage: attachments in S3", usage{"s3.storage": kept * attachmentsIn * attachmentKB * 1024 / gigabyte}},
		{"storage: tables and their recovery", usage{"ddb.storage": kept * m.rows.at(size) / gigabyte, "ddb.pitr": kept * m.rows.at(size) / gigabyte}},
	}
}

// night is one night of fsck over so many batches, as far as its time reaches: the next night goes on from there.
func (m model) night(batches float64, f function) usage {
	perBatch := m.fsckBatch[f.priceID()]
	if perBatch > 0 {
		batches = min(batches, nightLimit*f.gb()/perBatch)
	}
	u := usage{}
	u.add(m.fsckBatch, batches)
	u["lambda.request"] = 1
	return u
}

// perMillion is the use of a million messages in batches of a size, as the sample measured it.
func (s sample) perMillion() usage {
	u := usage{}
	u.add(s.path, 1e6/float64(s.messages))
	return u
}
