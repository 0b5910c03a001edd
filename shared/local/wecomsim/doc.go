// Package wecomsim is a simulated WeCom: its HTTP API as far as archiving and the directory need it, a demonstration company, and a
// control API by which tests and the local runner tell stories. It shares no code with the product, so that no misunderstanding can
// be on both sides; the message cipher is the simulator's own (simcipher), not Tencent's.
//
// # WeCom's side
//
// Under /cgi-bin: gettoken; message/getchatdata and getchatmediadata, the two calls that Tencent's library makes; msgaudit/get_permit_user_list,
// check_single_agree, check_room_agree, groupchat/get, get_robot_info; department/list, get, simplelist; user/get, list, simplelist,
// list_id; externalcontact/get_follow_user_list, list, get, batch/get_by_user, groupchat/list, groupchat/get; message/send of a text to members,
// and agent/get. What a token reads depends
// on the kind of its secret (Kind…). Refusals have HTTP 200, an errcode and a decorated errmsg. Chat data leaves after ChatWindow and files
// after MediaWindow by the simulator's clock; tokens, rate limits and bans live in real time. encrypt_sign is not checked.
//
// Not simulated, because it is not known: how large a page may be (set it with page_bytes) and which errcode a group
// that was started in WeChat gives (40050 here).
//
// # Control
//
// Under /sim, for callers on this machine alone, JSON both ways, unknown fields refused. A mistake of the caller's is HTTP 400
// {"error":"…"}. The Go types of requests and answers are exported, and Client calls them.
//
//	GET    /sim/clock                       → Clock {offset_ns, now}
//	POST   /sim/clock        Clock          {"offset_ns":N} | {"now":"RFC 3339"} | {"advance":"24h"} | {"advance_ns":N} → Clock
//	POST   /sim/self         Self           {"caller_ip":"203.0.113.24"}: the address that WeCom claims to see → Self
//	POST   /sim/corp         NewCorp        add a corp (or show it, if it is there) → Corp with secrets and private keys
//	GET    /sim/corp[?corp=ID]              → Corp, or all of them
//	POST   /sim/corp/change  ChangeCorp     {"service":"open|expired|not open"}, trusted, page_bytes, token_seconds, secret → Corp
//	POST   /sim/contacts     ChangeContacts departments, members, externals, robots, rooms, permit, consents; change; remove → {}
//	POST   /sim/member       MemberChange   a member joins, changes, is renamed or leaves now → MemberChanged: what differs, before and after
//	GET    /sim/changes?corp=ID[&after=N]   → []MemberChanged: all that /sim/member did, in order, with the simulator's times
//	POST   /sim/consent      ConsentChange  an external contact agrees or disagrees now; "message" puts it into the chat data → Consent
//	POST   /sim/callback     Callback       verify an address of this machine and send events of one kind there; "url":"" ends it → Callback
//	GET    /sim/callback?corp=ID            → []Callback
//	GET    /sim/delivery?corp=ID[&after=N]  → []Delivery: every event told to an address, with each attempt and its answer
//	POST   /sim/callback/trouble Trouble    lose, duplicate, delay or hold the next events of an address → Trouble
//	POST   /sim/callback/release Release    send what is held: in order, reversed, shuffled by a seed, or some by id → []Delivery
//	POST   /sim/callback/event   RawEvent   an event with elements of your own, such as update_tag → Delivery
//	POST   /sim/callback/settle  Settle     wait until all events that are due were sent or given up → []Delivery
//	POST   /sim/key          NewKeyRequest  the next key version: {"corp"} makes a pair, "public_key" takes yours → Key
//	POST   /sim/message      Message        a text, a type with payload, or the raw decrypted JSON → Sent
//	POST   /sim/recall       Recall         {"corp","msgid","from","to","room"} → Sent
//	POST   /sim/file         NewFile        an attachment; {"sdkfileid","refuse":301048} has its downloads refused → File
//	POST   /sim/reseal       Reseal         another cipher text under the same seq → {}
//	POST   /sim/token        KillTokens     tokens handed out get 40014 (or "errcode") from now on → {}
//	POST   /sim/fault        Fault          close, reset, 500, html, cut, empty, hang or errcode, for n calls or until lifted → Fault
//	GET    /sim/fault                       → []Fault that still wait
//	DELETE /sim/fault        Lift           {"id":N}, or {} for all → []Fault
//	POST   /sim/rate         Rate           {"corp","api","per_minute","block_seconds"}: 45009 above it; 0 lifts it → Rate
//	GET    /sim/written?corp=ID             → []Written: what apps wrote to members by message/send, what was dropped, and how often each came again
//	GET    /sim/account?corp=ID             → Account: what the corp was given, counted
//	GET    /sim/items?corp=ID[&after=SEQ][&limit=N][&raw=1] → []Item: every seq with the SHA-256 of what opens
//
// # Callbacks
//
// An address is verified when it is set: an encrypted echo that must come back bare within a second. Afterwards whatever changes the contacts,
// by /sim/contacts, /sim/member, /sim/consent or a day of the demonstration, is told by encrypted events: to "contacts" create, update and
// delete of users and parties (ids alone, or with "full" all that changed); to "customer" change_external_contact, msg_audit_approved among
// them, and change_external_chat; to "archive" msgaudit_notify, at most every 15 seconds of the simulator's clock. Departments come before
// members, and the events of one address one after the other; only trouble changes that. An answer other than HTTP 200 within 5 seconds has
// the event sent again, three times at most, with a timestamp and nonce of its own. Deliveries are in the file: what was under way when the
// process died is sent again. A corp without addresses has no deliveries. Who plays days settles before moving the clock: a request under way
// would be of yesterday, and rightly refused.
//
// Assumed, because no public page says it: that a member who leaves by himself (status 5) is told as delete_user; that consent given in a
// room, and consent taken back, are told by no event; how long the sender rests before a repetition (pause_ms).
//
// Consent: check_single_agree and check_room_agree know Agree, Disagree and, for whom nothing was said, Default_Agree with the time 0. A call
// with more than 100 pairs gets 301060, with an unknown member or contact 301061 for all of it. WeCom's rates, 2,500 and 1,500 calls a minute,
// are set with /sim/rate.
//
// message/send: an app is a secret with an agent. Members outside the secret's departments, or who left, are in invaliduser, in lower case and with
// errcode 0; those without licence in unlicenseduser; 81013 if nobody is left. More than 30 messages a minute or 1,000 an hour to a member are dropped
// without a word. With enable_duplicate_check a request that is equal, byte for byte, within the interval shows nothing more. Assumed, because no public
// page says it: that it is answered with the msgid of the first, and that 81013 comes with unlicenseduser.
//
// # The demonstration
//
//	POST   /sim/demo/start   DemoStart      {} → DemoDay: the day under way, or the next one begun
//	POST   /sim/demo/step    DemoPlay       {} → DemoPlayed: the next step, played
//	GET    /sim/demo                        → DemoDay with all events so far
//
// A runner starts a day, gives the product each corp's secrets and the keys in DemoDay.Corps, and then, for each step, sets the clock to the
// step's "at" (UTC; its own and POST /sim/clock), plays the step and does what its events ask for: of them only "key available" asks
// something, namely to give the private key to the product. Steps end with "done":true; noon UTC comes after the last one. A
// day's date is the first whose steps lie ahead of the clock and after the last day played, so that the clock only goes forward.
// Messages carry times of their step, moved back if the clock is not there yet. Both calls may be repeated after a crash: a day that
// is under way is shown, and {"step":N} of a step that was played gives the same answer again. On the first day the small company begins at seq 2^53+1, one key
// version arrives two steps late, one item never opens (set_aside in Account: "undecryptable"), one ends the library ("crashing"), one
// file is refused for ever (files.refused), and in the afternoon one answer is cut and a token dies. The large company's pages are
// refused above 200,000 bytes (301058). Later days are ordinary. What a day must come to is in Account: items are archived but for
// those in set_aside, and files are kept but for files.refused, which are lost.
//
// # State
//
// All but faults, rate limits, bans and the count of calls is in one bbolt file, written before it is answered; killing the process at any
// moment loses nothing that was answered. A step of the story is one transaction. From the same clock the story is
// the same, message by message; keys, secrets and cipher texts are not.
package wecomsim
