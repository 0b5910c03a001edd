// Package wecomsim is a simulated WeCom: its HTTP API as far as archiving and the directory need it, a demonstration company, and a
// control API by which tests and the local runner tell stories. It shares no code with the product, so that no misunderstanding can
// be on both sides; the message cipher is the simulator's own (simcipher), not Tencent's.
//
// # WeCom's side
//
// Under /cgi-bin: gettoken; message/getchatdata and getchatmediadata, the two calls that Tencent's library makes; msgaudit/get_permit_user_list,
// check_single_agree, check_room_agree, groupchat/get, get_robot_info; department/list, get, simplelist; user/get, list, simplelist,
// list_id; externalcontact/get_follow_user_list, list, get, batch/get_by_user, groupchat/list, groupchat/get. What a token reads depends
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
//	GET    /sim/account?corp=ID             → Account: what the corp was given, counted
//	GET    /sim/items?corp=ID[&after=SEQ][&limit=N][&raw=1] → []Item: every seq with the SHA-256 of what opens
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
