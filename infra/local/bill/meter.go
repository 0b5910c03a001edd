package main

import (
	"maps"
	"sync"
	"time"

	"github.com/wecomvault/wecomvault/shared/local/awslocal"
	"github.com/wecomvault/wecomvault/shared/local/house"
	"github.com/wecomvault/wecomvault/shared/local/lambdahost"
)

// meter counts what the endpoints and the Lambda host see, by function. It is safe for concurrent use.
type meter struct {
	mu    sync.Mutex
	seen  reading
	moved float64 // writes of fetch to the cursor since the beginning
}

// reading is what was used between two looks at the meter.
type reading struct {
	Write, Read float64                       // units of DynamoDB
	Calls       map[string]map[string]float64 // by function, then "service operation"
	Outside     float64                       // bytes of functions in the VPC to services without a gateway endpoint
	Runs        map[string]runs               // by function
	Tables      map[[2]string]bool            // who called which table
}

// runs are a function's invocations.
type runs struct {
	N       float64
	Seconds float64
}

func newReading() reading {
	return reading{Calls: map[string]map[string]float64{}, Runs: map[string]runs{}, Tables: map[[2]string]bool{}}
}

func newMeter() *meter { return &meter{seen: newReading()} }

func (m *meter) attach(o *house.Options, inVPC map[string]bool) {
	o.Observe = func(c awslocal.Call) {
		if c.Caller == house.Operator || c.Caller == "" {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		byName := m.seen.Calls[c.Caller]
		if byName == nil {
			byName = map[string]float64{}
			m.seen.Calls[c.Caller] = byName
		}
		byName[c.Service+" "+c.Operation]++
		if c.Caller == "FetchFunction" && c.Operation == "UpdateItem" {
			m.moved++
		}
		switch {
		case c.Service == "dynamodb":
			m.seen.Tables[[2]string{c.Caller, c.Resource}] = true
		case c.Service != "s3" && inVPC[c.Caller]:
			m.seen.Outside += float64(max(c.RequestBytes, 0) + c.ResponseBytes)
		}
	}
	o.Meter = func(_, _ string, write, read float64) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.seen.Write += write
		m.seen.Read += read
	}
	o.Ran = func(r lambdahost.Ran) {
		m.mu.Lock()
		defer m.mu.Unlock()
		one := m.seen.Runs[r.Function.LogicalID]
		one.N++
		one.Seconds += r.Duration.Round(time.Millisecond).Seconds()
		m.seen.Runs[r.Function.LogicalID] = one
	}
}

func (m *meter) moves() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.moved
}

func (m *meter) runs(function string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.Runs[function].N
}

func (m *meter) calls(function, what string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.Calls[function][what]
}

// take returns what was used since the last take.
func (m *meter) take() reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.seen
	m.seen = newReading()
	return r
}

// minus is a reading without what another kind of work would have used so many times in it.
func (r reading) minus(o reading, times float64) reading {
	out := newReading()
	out.Write, out.Read, out.Outside = max(0, r.Write-times*o.Write), max(0, r.Read-times*o.Read), max(0, r.Outside-times*o.Outside)
	maps.Copy(out.Runs, r.Runs)
	maps.Copy(out.Tables, r.Tables)
	for who, calls := range r.Calls {
		out.Calls[who] = map[string]float64{}
		for what, n := range calls {
			out.Calls[who][what] = max(0, n-times*o.Calls[who][what])
		}
	}
	return out
}

// over is one part of so many.
func (r reading) over(parts float64) reading {
	out := newReading()
	out.Write, out.Read, out.Outside = r.Write/parts, r.Read/parts, r.Outside/parts
	for who, n := range r.Runs {
		out.Runs[who] = runs{N: n.N / parts, Seconds: n.Seconds / parts}
	}
	for who, calls := range r.Calls {
		out.Calls[who] = map[string]float64{}
		for what, n := range calls {
			out.Calls[who][what] = n / parts
		}
	}
	return out
}

// bucketKeySaves: with bucket keys S3 asks KMS for about one request in a hundred (S3 user guide: "up to 99 percent").
const bucketKeySaves = 100

// s3Puts are the operations that are billed as PUT requests; deletes are free.
var s3Puts = map[string]bool{
	"PutObject": true, "CopyObject": true, "CreateMultipartUpload": true, "UploadPart": true, "CompleteMultipartUpload": true, "ListObjectsV2": true,
	"ListObjectVersions": true, "ListParts": true, "ListMultipartUploads": true,
}

// bill is the reading in the units of the price table. To what functions run each call of AWS adds a round trip: the endpoints here answer within
// a millisecond, AWS takes several. With functions that call one after another this is what they wait for; where they call side by side it is
// too much.
func (r reading) bill(functions map[string]function, roundTrip time.Duration) usage {
	u := usage{"ddb.write": r.Write, "ddb.read": r.Read, "nat.gb": r.Outside / gigabyte}
	for who, calls := range r.Calls {
		total := 0.0
		for what, n := range calls {
			service, operation := cut(what)
			switch {
			case service == "s3" && s3Puts[operation]:
				u["s3.put"] += n
			case service == "s3":
				u["s3.get"] += n
			case service == "sqs":
				u["sqs.request"] += n
			case service == "secretsmanager":
				u["secret.request"] += n
				u["kms.request"] += n // a secret is opened by a call of its key each time
			case service == "ses":
				u["mail"] += n
			}
			if what != "sqs ReceiveMessage" && what != "sqs DeleteMessageBatch" { // Lambda's own, before and after the function
				total += n
			}
		}
		if r.Runs[who].N > 0 {
			f := functions[who]
			u[f.priceID()] += total * roundTrip.Seconds() * f.gb()
		}
	}
	u["kms.request"] += (u["s3.put"] + u["s3.get"]) / bucketKeySaves
	for who, n := range r.Runs {
		f := functions[who]
		u["lambda.request"] += n.N
		u[f.priceID()] += n.Seconds * f.gb()
	}
	return u
}
