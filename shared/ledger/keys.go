package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wecomvault/wecomvault/shared/archive"
	"github.com/wecomvault/wecomvault/shared/directory"
)

// Every key of the four tables, in one place. All tables have a partition key "pk" and a sort key "sk", both strings. <corp> is
// CorpID.KeyPart, <seq> and <n> have 20 digits, <time> is Unix milliseconds in 13 digits, <batch> is BatchRow.Key. Ids that messages name are
// taken as they are up to longestID bytes, and longer ones as "~" and their SHA-256.
//
//	Control (primary; can't be derived again)
//	  corps               <corp>                              a company and its settings
//	  corp#<corp>         cursor                              cursor, lease, head of the chain, trouble
//	  corp#<corp>         key#<version, 10 digits>            a key version held: fingerprint, proven or not
//	  batch#<corp>        <first>-<last>-<sha256, 32 hex>     a batch: pending or done, its place in the chain, its segments
//	  watch#<corp>        watermark                           before which every batch is done
//	  watch#<corp>        checked                             the batch up to which fsck came before its time was up
//	  watch#<corp>        woken                               when WeCom's word of new chat data last woke fetch
//	  watch#<corp>        swept                               the day before which each mail is settled or given up
//	  watch#<corp>        swept-tellings                      the same of messages in WeCom
//	  watch#<corp>        redriven#<reason>#<version, 10 digits>#  when all items set aside so were last put back to work
//	  waiting#<corp>      <time>#<file hash>                  an attachment not yet in: file id, state of its upload
//	  media#<corp>        <file hash>                         an attachment's outcome: kept or lost
//	  settled#<corp>      <time>#<file hash>                  when an attachment had its outcome: an index by time
//	  lost#<corp>         <file hash>                         an attachment whose outcome was once lost: an index of the few
//	  run#<corp>          <day>#<report>                      a report's run: claimed, done
//	  preview#<corp>      <report>                            a preview of a report: asked for, and where what it tells is kept
//	  mail#<corp>         <day>#<report>#<address hash>       a mail: planned, sending, sent, refused, given up
//	  telling#<corp>      <day>#<report>#<userid>             a message in WeCom: planned, sending, told, refused, given up
//	  givenup#<corp>      <day>#<report>#<address hash>       a mail that was given up, until that is settled: an index of the few
//	  givenup#<corp>      <day>#<report>#wecom#<userid>       a message in WeCom that was given up, likewise
//	  suppressed#<corp>   <address hash>                      an address that gets no mails any more, or did not for a while
//	  heard#<corp>        <address hash>                      what SES last said of mails to an address
//	  asks#<hash>         asks                                how often a person asked the API in a minute; <hash> is of issuer and subject
//	  repeat#<corp>       <hash>                              a request that may come again by the same key; <hash> is of who asks and the key
//	  receiver#<corp>     r-<16 hex digits>                   a receiver of reports that was entered
//	  receiver#<corp>     h-<userid>                          what was edited of a head of department
//	  roomname#<corp>     <room>#<rev, 10 digits>             a name that was entered for a room, or taken away: each of them stays
//	  hrfile#<corp>       <version, 10 digits>                a version of the company's own file about its people
//	  alarm#<corp>        <cause>                             an alarm: open or over
//	  breach#<corp>       <room>                              an alarm about a group with members who have not agreed: open or over
//
//	Messages (derived from batches and keys; replay rebuilds it)
//	  msg#<corp>#<conversation>#<yyyymm>  <time>#<seq>#<raw>  a message: ids, type, short text; <raw> is the first 8 hex digits of the SHA-256
//	                                                          of its decrypted bytes: one seq with two texts is two rows
//	  parts#<corp>#<room>                 <list hash>         a participant list
//	  person#<corp>#<party>               <yyyymm>#<conversation>
//	  room#<corp>                         <room>              a room that messages name
//	  robot#<corp>                        <robot>             a robot that is a party of messages
//	  pair#<corp>                         <member>#<external contact>  who talk alone in messages
//	  choice#<corp>                       <subject>#<time>#<state>#<hash>  what a message says of consent; <subject> is consent.Subject.Key, <hash> 8 hex digits
//	                                                          of the msgid's SHA-256
//	  recall#<corp>                       <recalled msgid>#<seq>
//	  finding#<corp>#<yyyymmdd>           <rule>#<seq>
//	  aside#<corp>                        <reason>#<version, 10 digits>#<seq>#<batch>
//
//	Directory (primary)
//	  dir#<corp>                          <kind>#<id>         newest state of a department, member, external contact, room or robot
//	  hist#<corp>#<kind>#<id>             <time>              state from that time on
//	  heads#<corp>                        member#<id>         newest state of a member with the role of head: an index, and
//	                                      whole               that it was once compared with all members
//	  snap#<corp>                         <time>#<time>#<content>  a snapshot, by when it began and ended: where it is kept, its counts; <content> is 8 hex
//	                                                          digits of their SHA-256. <time> alone by a version that let two of one millisecond be one
//	  latest#<corp>                       snapshot            the snapshot that was recorded last: each is recorded after one, and no two after the same
//	  life#<corp>#<kind>#<id>             look#<time>#<time>#<part>#<via>#<content>  what an observation said of a department or member: asked and
//	                                                          answered when, of which list and by which secret, 8 hex digits of the content's SHA-256
//	                                      notice#<time>#<says>#<new id>  WeCom told that something happened to it
//	                                      event#<event>       an event of it that may be kept: an index
//	  event#<corp>#<yyyymmdd>             <event>             what happened by that day; <event> is Event.Key of shared/directory
//	  consent#<corp>                      <subject>#<time>#<state>  what WeCom answered about consent, where it differs from its answer before
//	  consentnow#<corp>                   <subject>           where a subject stands: follows from consent and choice rows
//	  consentchange#<corp>#<yyyymmdd>     <time>#<change>     a change, by when it was found; <change> is consent.Change.Key
//	  consentlate#<corp>                  <time>#<change>     a change whose own row may have been written after the report of its day was made
//	  consentround#<corp>                 <kind>#<time>       a round of asking WeCom about pairs or rooms, and how far it came
//
//	Audit (put-only)
//	  audit#<yyyymmdd>                    <time>#<random>     actor, action, object, outcome

// Their attributes, each once, by the rows that have it. Times are RFC 3339 with milliseconds in UTC, "" for none; hashes lower-case hex.
//
//	corps      corp name report_to (JSON: account admins) simulated added app settings (JSON) rev
//	cursor     seq chain_n chain_hash owner fence wanted beat caught_up empties last_whole page_limit trouble (JSON)
//	key        key_version fingerprint (SHA-256 of the public key's DER) added proven
//	batch      corp after first last items sha256 size object version pulled caught_up prev chain_n chain_hash state archived set_aside segments slot failure announced announcements
//	watch      batch; redriven: at times
//	swept      day
//	givenup    corp day report to in_wecom reason at again settled
//	waiting    corp file_id clock upload (JSON: state of the upload) announced announcements
//	media      corp state size sha256 md5 object version reason at
//	run        corp day report state owner until mails object version parts done_at
//	preview    corp report id asked announced parts object version made
//	mail       corp day report to object version state owner until attempt ses_id reason at nudges nudged nudged_owner fate fate_detail fate_at
//	telling    corp day report member text state owner until attempt app asked doubles msgid reason at nudges nudged nudged_owner
//	repeat     of (hash of what was asked for) at answer
//	receiver   corp receiver (JSON) rev
//	roomname   room name by at rev
//	hrfile     corp number sha256 object version size rows by at from
//	suppressed  corp address reason detail mail since lifted
//	heard      fate fate_detail mail fate_at
//	asks       asked at_minute
//	alarm, breach  corp cause open since seen over affected deadline unknown code detail told told_to (JSON)
//	msg        msgid action type from parties batch recall_of media (count) unknown text (up to 300 bytes; longer texts are in the segment)
//	parts      ids
//	recall     msgid seq time batch of
//	finding    severity msgid seq time
//	aside      corp reason key_version seq msgid batch place since clock
//	dir, hist, heads  kind id at fields (canonical JSON of shared/directory) gone
//	dir        marks (JSON) restless rev writer
//	snap       corp at until object version counts (JSON) settled
//	latest     (as snap) rev
//	look       asked answered part via presence seen (JSON)
//	notice     at says new_id
//	event      kind id what department old new how after by told via recorded
//	choice     external member room state since msgid
//	consent    external member room state since asked answered why
//	consentnow  external member room state changes (JSON) drop (JSON) owed heard answer since asked answered why unread rev
//	consentchange, consentlate  external member room old new at after by read found source msgid
//	consentround  kind at until from next asked wrong why
//	audit      actor action corp object outcome at
//
// person, room, robot, pair and lost rows have none but their keys.

func corpPK(c archive.CorpID) string      { return "corp#" + c.KeyPart() }
func batchPK(c archive.CorpID) string     { return "batch#" + c.KeyPart() }
func waitingPK(c archive.CorpID) string   { return "waiting#" + c.KeyPart() }
func mediaPK(c archive.CorpID) string     { return "media#" + c.KeyPart() }
func settledPK(c archive.CorpID) string   { return "settled#" + c.KeyPart() }
func lostPK(c archive.CorpID) string      { return "lost#" + c.KeyPart() }
func runPK(c archive.CorpID) string       { return "run#" + c.KeyPart() }
func previewPK(c archive.CorpID) string   { return "preview#" + c.KeyPart() }
func repeatPK(c archive.CorpID) string    { return "repeat#" + c.KeyPart() }
func mailPK(c archive.CorpID) string      { return "mail#" + c.KeyPart() }
func tellingPK(c archive.CorpID) string   { return "telling#" + c.KeyPart() }
func givenUpPK(c archive.CorpID) string   { return "givenup#" + c.KeyPart() }
func noMailPK(c archive.CorpID) string    { return "suppressed#" + c.KeyPart() }
func alarmPK(c archive.CorpID) string     { return "alarm#" + c.KeyPart() }
func watchPK(c archive.CorpID) string     { return "watch#" + c.KeyPart() }
func recallPK(c archive.CorpID) string    { return "recall#" + c.KeyPart() }
func roomPK(c archive.CorpID) string      { return "room#" + c.KeyPart() }
func robotPK(c archive.CorpID) string     { return "robot#" + c.KeyPart() }
func pairPK(c archive.CorpID) string      { return "pair#" + c.KeyPart() }
func choicePK(c archive.CorpID) string    { return "choice#" + c.KeyPart() }
func consentPK(c archive.CorpID) string   { return "consent#" + c.KeyPart() }
func standingPK(c archive.CorpID) string  { return "consentnow#" + c.KeyPart() }
func roundPK(c archive.CorpID) string     { return "consentround#" + c.KeyPart() }
func breachPK(c archive.CorpID) string    { return "breach#" + c.KeyPart() }
func asidePK(c archive.CorpID) string     { return "aside#" + c.KeyPart() }
func directoryPK(c archive.CorpID) string { return "dir#" + c.KeyPart() }
func heardPK(c archive.CorpID) string     { return "heard#" + c.KeyPart() }
func asksPK(hash string) string           { return "asks#" + hash }
func headPK(c archive.CorpID) string      { return "heads#" + c.KeyPart() }
func snapshotPK(c archive.CorpID) string  { return "snap#" + c.KeyPart() }
func latestPK(c archive.CorpID) string    { return "latest#" + c.KeyPart() }
func hrFilePK(c archive.CorpID) string    { return "hrfile#" + c.KeyPart() }
func roomNamePK(c archive.CorpID) string  { return "roomname#" + c.KeyPart() }
func roomNameSK(room archive.RoomID, rev int) string {
	return idPart(string(room)) + "#" + fmt.Sprintf("%010d", rev)
}
func hrFileSK(number int) string { return fmt.Sprintf("%010d", number) }

const latestSK = "snapshot"

func entrySK(kind directory.Kind, id string) string { return string(kind) + "#" + id }

func lifePK(c archive.CorpID, kind directory.Kind, id string) string {
	return "life#" + c.KeyPart() + "#" + string(kind) + "#" + idPart(id)
}

func eventPK(c archive.CorpID, by time.Time) string {
	return "event#" + c.KeyPart() + "#" + by.UTC().Format("20060102")
}

// eventPKOf is the partition of the event with a key, which begins with the time by which it happened.
func eventPKOf(c archive.CorpID, key string) (string, error) {
	digits, _, _ := strings.Cut(key, "#")
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return "", fmt.Errorf("a key of an event of corp %s does not begin with a time", c)
	}
	return eventPK(c, time.UnixMilli(ms)), nil
}

func keySK(v archive.KeyVersion) string { return fmt.Sprintf("key#%010d", uint32(v)) }

func millis13(t time.Time) string {
	if t.IsZero() || t.UnixMilli() < 0 {
		return "0000000000000"
	}
	return fmt.Sprintf("%013d", t.UnixMilli())
}

// longestID is more than any id of WeCom's has, and fits into a key.
const longestID = 256

// idPart is an id that a message names as part of a key. A message may name anything: an id that no key can hold must not stop its batch.
func idPart(id string) string {
	if len(id) <= longestID {
		return id
	}
	return "~" + archive.HashHex([]byte(id))
}
