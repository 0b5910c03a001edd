/*
 * A stand-in for Tencent's Finance SDK: the same 17 functions, none of its code and none of its cipher. Tests build it with
 *
 *     cc -shared -fPIC -o standin.so standin.c -ldl
 *
 * and it does what the script beside it says: "standin.so.script", one order a line, read anew at each call.
 *
 *     FUNCTION MATCH ACTION [ARGUMENTS]
 *
 * FUNCTION  load (when the file is loaded), init, chat, decrypt, media
 * MATCH     conditions joined by commas, all of which must hold:
 *             *         always
 *             nth=N     the N-th call of the function in this process, from 1
 *             seq=N     chat: the seq asked for
 *             id=TEXT   decrypt: the message contains TEXT; media: the sdkfileid does
 *             once      the first time ever; "standin.so.once-LINE" remembers it across processes
 * ACTION    does something and goes on with the next order:
 *             print TEXT       on stdout and stderr, as the real one does with a refused token
 *             leak N           N megabytes, touched
 *             sleep N          N milliseconds
 *             fork             leaves a process behind that holds every descriptor
 *           or ends the call:
 *             code N           return N and give nothing
 *             null             return 0 with NULL buffers and lengths of 0
 *             negative         return 0 with NULL buffers and lengths of -1
 *             empty            return 0 with 0 bytes
 *             text REST        return 0 with the rest of the line
 *             file PATH        return 0 with a file's bytes; PATH is relative to the library's folder
 *             both N PATH      return N with a file's bytes
 *             segv | abort | hang | exit N
 *           or, for chat:
 *             pages PATH       each line of the file is an item that begins {"seq":N, : a page of those above the seq asked for
 *           or, for media:
 *             chunks N PATH    the file in chunks of N bytes, the last one finished
 *             chunks+ N PATH   the same, with an empty chunk at the end that is the finished one
 *             stuck            return 0, not finished, and no index to go on with
 *
 * Empty lines and lines that begin with # are nothing. Without an order that ends the call: chat gives an empty page (10000 for a limit
 * of 0 or above 1000), media 10005 (10000 for an empty id), init 0 (10000 for an empty secret), and decrypt opens the stand-in's own
 * encoding:
 *
 *     "standin-v1:" and two lower-case hex digits for each byte, which is XORed with the key's byte at the same place, cyclically
 *
 * Anything else is 10008, and a message of fewer than 13 characters aborts the process: the real library does both.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct WeWorkFinanceSdk_t { int initialised; } WeWorkFinanceSdk_t;
typedef struct Slice_t { char *buf; int len; } Slice_t;
typedef struct MediaData { char *outindexbuf; int out_len; char *data; int data_len; int is_finish; } MediaData_t;

/* One call, and what an order did to it. */
typedef struct {
	const char *function;
	int nth;
	unsigned long long seq;
	unsigned int limit;
	const char *id;
	const char *index;
	Slice_t *slice;
	MediaData_t *media;
	int code;
} call_t;

enum { LINE = 1 << 16, PATH = 4096 };

static char *volatile lost; /* or a compiler leaves the leak out */
static int calls_init, calls_chat, calls_decrypt, calls_media;

static const char *self(void) {
	Dl_info info;
	return dladdr((void *)self, &info) && info.dli_fname ? info.dli_fname : "standin.so";
}

static void beside(char *out, const char *name) {
	const char *path = self(), *slash = strrchr(path, '/');
	snprintf(out, PATH, "%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);
}

static char *whole(const char *name, long *len) {
	char path[PATH];
	beside(path, name);
	FILE *f = fopen(path, "rb");
	if (!f) { *len = 0; return NULL; }
	fseek(f, 0, SEEK_END);
	*len = ftell(f);
	rewind(f);
	char *buf = malloc((size_t)*len + 1);
	*len = (long)fread(buf, 1, (size_t)*len, f);
	buf[*len] = 0;
	fclose(f);
	return buf;
}

static void give(call_t *c, char *buf, long len) {
	if (c->slice) { c->slice->buf = buf; c->slice->len = (int)len; return; }
	if (c->media) { c->media->data = buf; c->media->data_len = (int)len; c->media->is_finish = 1; return; }
	free(buf);
}

static void pages(call_t *c, const char *name) {
	long len;
	char *items = whole(name, &len), *page = malloc((size_t)len + 256), *save = NULL, *line;
	char *end = page + sprintf(page, "{\"errcode\":0,\"errmsg\":\"ok\",\"chatdata\":[");
	unsigned int n = 0;
	for (line = items ? strtok_r(items, "\n", &save) : NULL; line && n < c->limit; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, "{\"seq\":", 7) != 0 || strtoull(line + 7, NULL, 10) <= c->seq) continue;
		end += sprintf(end, "%s%s", n++ ? "," : "", line);
	}
	end += sprintf(end, "]}");
	free(items);
	give(c, page, end - page);
}

static void chunks(call_t *c, long size, const char *name, int empty_last) {
	long len, from = 0;
	char *file = whole(name, &len);
	MediaData_t *m = c->media;
	if (!file || size < 1) { c->code = 10005; free(file); return; }
	if (c->index && *c->index && sscanf(c->index, "Range:bytes=%ld-", &from) != 1) { c->code = 10000; free(file); return; }
	if (from > len) from = len;
	long n = len - from < size ? len - from : size;
	m->data = malloc((size_t)n + 1);
	memcpy(m->data, file + from, (size_t)n);
	m->data_len = (int)n;
	m->is_finish = empty_last ? n == 0 : from + n >= len;
	if (!m->is_finish) {
		m->outindexbuf = malloc(64);
		m->out_len = sprintf(m->outindexbuf, "Range:bytes=%ld-%ld", from + n, from + n + size - 1);
	}
	free(file);
}

static int matches(call_t *c, char *match, int line) {
	char *save = NULL, *m;
	int once = 0;
	for (m = strtok_r(match, ",", &save); m; m = strtok_r(NULL, ",", &save)) {
		if (strcmp(m, "*") == 0) continue;
		if (strcmp(m, "once") == 0) { once = 1; continue; }
		if (strncmp(m, "nth=", 4) == 0 && atoi(m + 4) == c->nth) continue;
		if (strncmp(m, "seq=", 4) == 0 && strtoull(m + 4, NULL, 10) == c->seq) continue;
		if (strncmp(m, "id=", 3) == 0 && c->id && strstr(c->id, m + 3)) continue;
		return 0;
	}
	if (once) {
		char path[PATH];
		snprintf(path, sizeof path, "%s.once-%d", self(), line);
		int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
		if (fd < 0) return 0;
		close(fd);
	}
	return 1;
}

/* obey does one order's action; it returns 1 if that ends the call. */
static int obey(call_t *c, const char *action, const char *rest) {
	char name[PATH] = "";
	long n = 0;
	if (strcmp(action, "print") == 0) {
		printf("%s\n", rest);
		fprintf(stderr, "%s\n", rest);
		fflush(NULL);
		return 0;
	}
	if (strcmp(action, "leak") == 0) {
		lost = malloc((size_t)atol(rest) << 20);
		if (lost) memset(lost, 1, (size_t)atol(rest) << 20);
		return 0;
	}
	if (strcmp(action, "sleep") == 0) { usleep((useconds_t)atol(rest) * 1000); return 0; }
	if (strcmp(action, "fork") == 0) {
		if (fork() == 0) for (;;) pause();
		return 0;
	}
	if (strcmp(action, "segv") == 0) { *(volatile int *)16 = 1; return 1; }
	if (strcmp(action, "abort") == 0) abort();
	if (strcmp(action, "hang") == 0) for (;;) pause();
	if (strcmp(action, "exit") == 0) _exit(atoi(rest));
	if (strcmp(action, "code") == 0) { c->code = atoi(rest); return 1; }
	if (strcmp(action, "null") == 0) return 1;
	if (strcmp(action, "negative") == 0) {
		if (c->slice) c->slice->len = -1;
		if (c->media) { c->media->data_len = c->media->out_len = -1; c->media->is_finish = 1; }
		return 1;
	}
	if (strcmp(action, "empty") == 0) { give(c, strdup(""), 0); return 1; }
	if (strcmp(action, "text") == 0) { give(c, strdup(rest), (long)strlen(rest)); return 1; }
	if (strcmp(action, "file") == 0) { char *buf = whole(rest, &n); give(c, buf, n); return 1; }
	if (strcmp(action, "both") == 0) {
		if (sscanf(rest, "%d %4095s", &c->code, name) == 2) { char *buf = whole(name, &n); give(c, buf, n); }
		return 1;
	}
	if (strcmp(action, "pages") == 0) { pages(c, rest); return 1; }
	if (strcmp(action, "stuck") == 0) return 1;
	if (strncmp(action, "chunks", 6) == 0 && c->media && sscanf(rest, "%ld %4095s", &n, name) == 2) {
		chunks(c, n, name, action[6] == '+');
		return 1;
	}
	fprintf(stderr, "standin: no such action: %s\n", action);
	abort();
}

/* script follows the script; it returns 1 if an order ended the call. */
static int script(call_t *c) {
	char path[PATH], *line = malloc(LINE);
	int number = 0, ended = 0;
	snprintf(path, sizeof path, "%s.script", self());
	FILE *f = fopen(path, "r");
	while (f && !ended && fgets(line, LINE, f)) {
		char *save = NULL, *function, *match, *action, *rest;
		number++;
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '#') continue;
		function = strtok_r(line, " ", &save);
		match = function ? strtok_r(NULL, " ", &save) : NULL;
		action = match ? strtok_r(NULL, " ", &save) : NULL;
		if (!action || strcmp(function, c->function) != 0 || !matches(c, match, number)) continue;
		rest = save ? save : "";
		ended = obey(c, action, rest);
	}
	if (f) fclose(f);
	free(line);
	return ended;
}

__attribute__((constructor)) static void loaded(void) {
	call_t c = {.function = "load", .nth = 1};
	script(&c);
}

WeWorkFinanceSdk_t *NewSdk(void) { return calloc(1, sizeof(WeWorkFinanceSdk_t)); }
void DestroySdk(WeWorkFinanceSdk_t *sdk) { free(sdk); }

int Init(WeWorkFinanceSdk_t *sdk, const char *corpid, const char *secret) {
	call_t c = {.function = "init", .nth = ++calls_init, .id = corpid};
	if (script(&c)) return c.code;
	if (!secret || !*secret) return 10000;
	sdk->initialised = 1;
	return 0;
}

int GetChatData(WeWorkFinanceSdk_t *sdk, unsigned long long seq, unsigned int limit, const char *proxy, const char *passwd, int timeout,
		Slice_t *chatDatas) {
	(void)sdk; (void)proxy; (void)passwd; (void)timeout;
	call_t c = {.function = "chat", .nth = ++calls_chat, .seq = seq, .limit = limit, .slice = chatDatas};
	if (script(&c)) return c.code;
	if (limit < 1 || limit > 1000) return 10000;
	pages(&c, "standin.none");
	return 0;
}

static int hex(char h) { return h >= '0' && h <= '9' ? h - '0' : h >= 'a' && h <= 'f' ? h - 'a' + 10 : -1; }

int DecryptData(const char *encrypt_key, const char *encrypt_msg, Slice_t *msg) {
	static const char prefix[] = "standin-v1:";
	call_t c = {.function = "decrypt", .nth = ++calls_decrypt, .id = encrypt_msg, .slice = msg};
	if (script(&c)) return c.code;
	size_t len = strlen(encrypt_msg), keylen = strlen(encrypt_key), head = sizeof prefix - 1;
	if (len < 13) abort();
	if (keylen == 0 || strncmp(encrypt_msg, prefix, head) != 0 || (len - head) % 2) return 10008;
	size_t n = (len - head) / 2;
	char *out = malloc(n + 1);
	for (size_t i = 0; i < n; i++) {
		int a = hex(encrypt_msg[head + 2 * i]), b = hex(encrypt_msg[head + 2 * i + 1]);
		if (a < 0 || b < 0) { free(out); return 10008; }
		out[i] = (char)((a << 4 | b) ^ encrypt_key[i % keylen]);
	}
	give(&c, out, (long)n);
	return 0;
}

int GetMediaData(WeWorkFinanceSdk_t *sdk, const char *indexbuf, const char *sdkFileid, const char *proxy, const char *passwd, int timeout,
		MediaData_t *media_data) {
	(void)sdk; (void)proxy; (void)passwd; (void)timeout;
	call_t c = {.function = "media", .nth = ++calls_media, .id = sdkFileid, .index = indexbuf, .media = media_data};
	if (script(&c)) return c.code;
	return sdkFileid && *sdkFileid ? 10005 : 10000;
}

Slice_t *NewSlice(void) { return calloc(1, sizeof(Slice_t)); }
void FreeSlice(Slice_t *slice) { if (slice) free(slice->buf); free(slice); }
char *GetContentFromSlice(Slice_t *slice) { return slice->buf; }
int GetSliceLen(Slice_t *slice) { return slice->len; }

MediaData_t *NewMediaData(void) { return calloc(1, sizeof(MediaData_t)); }
void FreeMediaData(MediaData_t *m) { if (m) { free(m->outindexbuf); free(m->data); } free(m); }
char *GetOutIndexBuf(MediaData_t *m) { return m->outindexbuf; }
char *GetData(MediaData_t *m) { return m->data; }
int GetIndexLen(MediaData_t *m) { return m->out_len; }
int GetDataLen(MediaData_t *m) { return m->data_len; }
int IsMediaDataFinish(MediaData_t *m) { return m->is_finish; }
