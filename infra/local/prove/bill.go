package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/clock"
	"github.com/wecomvault/wecomvault/shared/local/prices"
)

// monthHours are those of AWS's month, in which keys are priced.
const monthHours = 730.0

// bill prints what CloudWatch metered of the run so far, and what that and the standing resources cost by the price list. Left off are requests to
// S3, SQS and KMS, storage, logs and alarms, which no metric of this run tells; Cost Explorer has the truth a day later.
func (p *proof) bill(ctx context.Context) error {
	table, err := prices.List()
	if err != nil {
		return err
	}
	l, err := p.remembered()
	if err != nil {
		return err
	}
	began, err := p.began(ctx)
	if err != nil {
		return err
	}
	hours := math.Ceil(max(clock.Real().Sub(began).Hours(), 1)) // each begun hour is billed
	fmt.Fprintf(p.out, "  %.0f hours of a NAT gateway, an address and %d keys\n", hours, len(l.Keys))
	used := map[string]float64{"nat.hour": hours, "ipv4.hour": hours, "kms.key": float64(len(l.Keys)) * hours / monthHours}
	for _, name := range l.Tables {
		for metric, id := range map[string]string{"ConsumedWriteCapacityUnits": "ddb.write", "ConsumedReadCapacityUnits": "ddb.read"} {
			n, err := p.metered(ctx, began, "AWS/DynamoDB", metric, "TableName", name)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "  %s %s %.0f\n", name, metric, n)
			used[id] += n
		}
	}
	for _, group := range l.Logs {
		if err := p.ran(ctx, began, strings.TrimPrefix(group, "/aws/lambda/"), used); err != nil {
			return err
		}
	}
	region, note := p.region, ""
	if !slices.Contains(table.Regions, region) {
		region = table.Regions[0]
		note = ": those of " + p.region + " are not in the list"
	}
	dollars, err := table.Dollars(region, used)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "  together $%.2f by the list prices of %s in %s%s; requests to S3, SQS and KMS, storage, logs and alarms come on top\n", dollars, table.AsOf, region, note)
	return nil
}

// began is when the product's stack was made.
func (p *proof) began(ctx context.Context) (time.Time, error) {
	raw, err := p.aws(ctx, "cloudformation", "describe-stacks", "--stack-name", p.vault(), "--query", "Stacks[0].CreationTime", "--output", "text")
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(raw)))
	if err != nil {
		return time.Time{}, errors.New("CloudFormation does not say when the stack was made")
	}
	return at, nil
}

// ran adds what a function ran.
func (p *proof) ran(ctx context.Context, began time.Time, name string, used map[string]float64) error {
	raw, err := p.aws(ctx, "lambda", "get-function-configuration", "--function-name", name, "--query", "{Memory:MemorySize,Processor:Architectures[0]}")
	if err != nil {
		return err
	}
	var f struct {
		Memory    float64 // MB
		Processor string
	}
	if err := json.Unmarshal(raw, &f); err != nil || f.Memory <= 0 {
		return fmt.Errorf("lambda does not say how much memory %s has", name)
	}
	id := "lambda.x86"
	if f.Processor == "arm64" {
		id = "lambda.arm"
	}
	times, err := p.metered(ctx, began, "AWS/Lambda", "Invocations", "FunctionName", name)
	if err != nil {
		return err
	}
	milliseconds, err := p.metered(ctx, began, "AWS/Lambda", "Duration", "FunctionName", name)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "  %s Invocations %.0f, Duration %.1f s with %.0f MB\n", name, times, milliseconds/1000, f.Memory)
	used["lambda.request"] += times
	used[id] += milliseconds / 1000 * f.Memory / 1024
	return nil
}

// metered is the sum of a metric since then. A metric of which CloudWatch has no value is 0.
func (p *proof) metered(ctx context.Context, since time.Time, namespace, metric, dimension, value string) (float64, error) {
	raw, err := p.aws(ctx, "cloudwatch", "get-metric-statistics", "--namespace", namespace, "--metric-name", metric, "--dimensions", "Name="+dimension+",Value="+value,
		"--start-time", since.UTC().Format(time.RFC3339), "--end-time", clock.Real().UTC().Format(time.RFC3339), "--period", "86400", "--statistics", "Sum",
		"--query", "sum(Datapoints[].Sum)", "--output", "text")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(raw)), 64)
	if err != nil {
		return 0, fmt.Errorf("CloudWatch gives no number for %s of %s", metric, value)
	}
	return n, nil
}
