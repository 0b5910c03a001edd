package main

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/consent"
	"github.com/wecomvault/wecomvault/shared/directory"
	"github.com/wecomvault/wecomvault/shared/ledger"
	"github.com/wecomvault/wecomvault/shared/local/wecomsim"
	"github.com/wecomvault/wecomvault/shared/objstore"
)

// livesState notes what follows from all that was ever seen of each department and member, without when; and each word of WeCom's about a member that was
// answered for and is nowhere in what was kept of him.
func (p *player) livesState(ctx context.Context, items map[string]string) error {
	for _, c := range p.corpus.Corps {
		id := archive.CorpID(c.ID)
		var glances []directory.Glance
		err := p.ledger.Snapshots(ctx, id, func(s ledger.Snapshot) bool {
			glances = append(glances, s.Glances()...)
			return true
		})
		if err != nil {
			return err
		}
		line := directory.NewTimeline(glances)
		var known []directory.Entry
		err = p.ledger.Helds(ctx, id, func(h ledger.Held) bool {
			if h.Kind == directory.KindDepartment || h.Kind == directory.KindMember {
				known = append(known, h.Entry)
			}
			return true
		})
		if err != nil {
			return err
		}
		lives := map[string]ledger.Life{}
		for _, e := range known {
			life, err := p.ledger.Life(ctx, id, e.Kind, e.ID)
			if err != nil {
				return err
			}
			looks := line.Unpack(e.Kind, e.ID, life.Looks)
			items[fmt.Sprintf("life %s %s %s", c.ID, e.Kind, e.ID)] = lifeText(directory.Fold(e.Kind, e.ID, looks, life.Notices))
			if e.Kind == directory.KindMember {
				lives[e.ID] = life
			}
		}
		err = p.heard(ctx, c.ID, func(d wecomsim.Delivery, member string) error {
			if !noted(d, lives[member].Notices) {
				items[fmt.Sprintf("callback %d of %s", d.ID, c.ID)] = fmt.Sprintf("WeCom's word %s of %s was answered for, and is not kept", d.Change, member)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lifeText is a history without its moments: what happened, in order, and each field's values, in order, with whether the last one holds.
func lifeText(h directory.History) string {
	var out []string
	for _, e := range h.Events {
		out = append(out, fmt.Sprintf("%s %d %q>%q %s", e.What, e.Department, e.Old, e.New, e.How))
	}
	for _, f := range slices.Sorted(maps.Keys(h.Spans)) {
		var values []string
		for _, s := range h.Spans[f] {
			end := ""
			if s.Ended {
				end = " ended"
			}
			values = append(values, strconv.Quote(s.Value)+end)
		}
		out = append(out, string(f)+" "+strings.Join(values, ", "))
	}
	return fmt.Sprintf("life here=%v; %s", h.Here, strings.Join(out, "; "))
}

// says are WeCom's words about a member, as they are kept.
var says = map[string]directory.Telling{"create_user": directory.ToldCreated, "update_user": directory.ToldUpdated, "delete_user": directory.ToldDeleted}

func noted(d wecomsim.Delivery, notices []directory.Notice) bool {
	at := toldAt.FindStringSubmatch(d.Message)
	if at == nil {
		return false
	}
	return slices.ContainsFunc(notices, func(n directory.Notice) bool {
		return n.Says == says[d.Change] && strconv.FormatInt(n.At.Unix(), 10) == at[1]
	})
}

// consentState notes each answer of WeCom's about consent that is kept without WeCom's own words.
func (p *player) consentState(ctx context.Context, items map[string]string) error {
	client := s3.NewFromConfig(p.Config(operator), func(o *s3.Options) { o.UsePathStyle = true })
	bucket := p.House.Template.Outputs["ArchiveBucket"]
	for _, c := range p.corpus.Corps {
		words := map[string]string{} // by the moment at which WeCom was asked, in milliseconds
		pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String(objstore.ConsentKey(archive.CorpID(c.ID)))})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("list WeCom's answers about consent: %w", err)
			}
			for _, o := range page.Contents {
				text, err := unzipped(ctx, client, bucket, aws.ToString(o.Key))
				if err != nil {
					return err
				}
				asked, _, _ := strings.Cut(path.Base(aws.ToString(o.Key)), "-")
				words[asked] += text
			}
		}
		var subjects []consent.Subject
		err := p.ledger.Standings(ctx, archive.CorpID(c.ID), false, func(s ledger.Standing) bool {
			if s.Subject.External != "" {
				subjects = append(subjects, s.Subject)
			}
			return true
		})
		if err != nil {
			return err
		}
		for _, subject := range subjects {
			said, err := p.ledger.Said(ctx, archive.CorpID(c.ID), subject)
			if err != nil {
				return err
			}
			for _, s := range said {
				if s.Source != consent.Poll || s.Since.IsZero() || proved(s, words[fmt.Sprintf("%013d", s.Asked.UnixMilli())]) {
					continue
				}
				items["consent of "+c.ID+" "+subject.Key()] = "an answer is kept without WeCom's words"
			}
		}
	}
	return nil
}

// proved says whether WeCom's words name the contact with the moment since which the answer holds.
func proved(s consent.Statement, words string) bool {
	return strings.Contains(words, string(s.Subject.External)) && strings.Contains(words, strconv.FormatInt(s.Since.Unix(), 10))
}

func unzipped(ctx context.Context, client *s3.Client, bucket, key string) (string, error) {
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", fmt.Errorf("read WeCom's answers about consent: %w", err)
	}
	zip, err := gzip.NewReader(out.Body)
	if err != nil {
		return "", errors.Join(fmt.Errorf("unpack WeCom's answers about consent: %w", err), out.Body.Close())
	}
	b, err := io.ReadAll(zip)
	if err := errors.Join(err, out.Body.Close()); err != nil {
		return "", fmt.Errorf("unpack WeCom's answers about consent: %w", err)
	}
	return string(b), nil
}

// writtenState notes what each member sees of what the company's app wrote. One text that a member sees twice must say so itself, in its last line.
func (p *player) writtenState(ctx context.Context, items map[string]string) (doubles []string, err error) {
	for _, c := range p.corpus.Corps {
		all, err := p.sim.Written(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		for _, w := range all {
			if w.Dropped {
				continue
			}
			text, _, marked := strings.Cut(w.Text, "\n（重复发送 ")
			sum := sha256.Sum256(withoutMoments([]byte(text)))
			key := fmt.Sprintf("written %s %s %x", c.ID, w.To, sum[:8])
			switch {
			case items[key] != "" && !marked:
				items[key+" unmarked double"] = "a message in WeCom that came twice without a word"
			case items[key] != "":
				doubles = append(doubles, key)
			}
			items[key] = "seen"
		}
	}
	return doubles, nil
}

// isAudited is an error if a change that the API has just answered for is not in the audit stream, where it must be before the answer: that it began, and that
// it was done. Which one a request is follows from its method and its address, as far as the day makes such requests.
func (p *player) isAudited(ctx context.Context, method, url string) error {
	path := strings.Split(strings.TrimPrefix(url, p.APIURL()+"/v1/corps/"), "/")
	action, known := map[string]string{
		"POST receivers": "addReceiver", "PUT receivers": "changeReceiver", "DELETE receivers": "removeReceiver", "PUT settings": "changeSettings",
		"POST hr-files": "importHRFile", "DELETE suppressions": "liftSuppression",
	}[method+" "+path[1]]
	if !known {
		return nil
	}
	outcomes := map[string]int{}
	client := dynamodb.NewFromConfig(p.Config(operator))
	table := p.House.Template.Outputs["AuditTable"]
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read the audit stream: %w", err)
		}
		for _, it := range page.Items {
			if text(it["action"]) == "api "+action && text(it["corp"]) == path[0] {
				outcomes[text(it["outcome"])]++
			}
		}
	}
	p.answered[path[0]+action]++
	if n := p.answered[path[0]+action]; outcomes["begun"] < n || outcomes["done"] < n {
		return fmt.Errorf("%d answers to %s, and in the audit stream %d that began and %d that were done", n, action, outcomes["begun"], outcomes["done"])
	}
	return nil
}
