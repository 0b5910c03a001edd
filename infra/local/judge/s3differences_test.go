package judge_test

import (
	"slices"
	"strings"

	gocmp "github.com/google/go-cmp/cmp"
)

// besides is whether the two sides differ in nothing but the named parts of their answers.
func besides(names ...string) func(exchange) bool {
	return func(e exchange) bool {
		of := func(a answer) any {
			said := s3Essence(e.op, a).([]any)
			if e.op == "DeleteObjects" { // the parts are within a list, whose order means nothing
				return without(said, names...)
			}
			for _, name := range names {
				delete(said[2].(object), name)
			}
			return said
		}
		return gocmp.Equal(of(e.ours), of(e.theirs))
	}
}

// either is whether one of them holds.
func either(of ...func(exchange) bool) func(exchange) bool {
	return func(e exchange) bool {
		return slices.ContainsFunc(of, func(f func(exchange) bool) bool { return f(e) })
	}
}

// said is whether the error's name is one of those.
func said(of func(exchange) answer, codes string) func(exchange) bool {
	return func(e exchange) bool { return strings.Contains(" "+codes+" ", " "+of(e).Code+" ") }
}

func both(a, b func(exchange) bool) func(exchange) bool {
	return func(e exchange) bool { return a(e) && b(e) }
}

func oursOf(e exchange) answer   { return e.ours }
func theirsOf(e exchange) answer { return e.theirs }

// Names of refusals: for what is wrong in the request itself, and for what is wrong with it just now.
const (
	formRefusals  = "InvalidArgument InvalidRequest InvalidDigest BadDigest MalformedXML KeyTooLongError MissingUploadObjectWithObjectLockHeaders"
	stateRefusals = "NoSuchKey NoSuchVersion NoSuchUpload NoSuchBucket PreconditionFailed MethodNotAllowed AccessDenied InvalidPart InvalidPartOrder EntityTooSmall"
)

// s3Differences are those of S3. What two mistakes in one request are called is documented nowhere.
var s3Differences = []difference{
	{judges: "ministack moto", theirs: "HTTP 500", why: "the judge fails in itself"},

	// Ours is not as S3 is, and why that is left so.
	{judges: "ministack moto", op: "DeleteObject", ours: "ok", theirs: "ok", when: besides("X-Amz-Delete-Marker", "X-Amz-Version-Id"),
		why: "OURS: S3 leaves a delete marker where no object is, versitygw none; the product deletes no object, and its roles may not"},
	{judges: "ministack moto", op: "DeleteObjects", ours: "ok", theirs: "ok", when: besides("DeleteMarker", "DeleteMarkerVersionId", "VersionId"),
		why: "OURS: S3 leaves a delete marker where no object is, versitygw none; the product deletes no object, and its roles may not"},
	{judges: "ministack moto", op: "GetObject", ours: "ok", theirs: "ok", when: besides("X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold"),
		why: "OURS: S3's GetObject tells of the lock, versitygw's HeadObject alone does; the product reads neither"},
	{judges: "ministack moto", op: "GetObjectTagging", ours: "ok", theirs: "ok", when: besides("X-Amz-Version-Id"),
		why: "OURS: S3's GetObjectTagging names the version, versitygw does not; the product has no tags"},
	{judges: "ministack moto", op: "PutObject", ours: "PreconditionFailed", theirs: "ok", when: requestHas("If-Match"), why: "a judge that does not heed If-Match"},

	{judges: "ministack moto", op: "DeleteObjects", ours: "ok", theirs: "ok", when: requestHas("Quiet"), why: "OURS: versitygw lists what it deleted though it was asked to be quiet; the product deletes no object"},
	{judges: "ministack moto", op: "ListObjectVersions", ours: "ok", theirs: "ok", when: besides("IsTruncated", "MaxKeys", "NextKeyMarker", "NextVersionIdMarker"),
		why: "OURS: behind a version-id-marker the last page may say that another follows, which is empty; whoever reads until the end reads the same"},
	{judges: "ministack moto", op: "ListObjectVersions ListObjectsV2", ours: "ok", theirs: "ok", when: requestHas(`"encoding-type"`),
		why: "OURS: versitygw does not encode keys, and does not say EncodingType, by which SDKs know; the product does not ask for it"},
	{judges: "ministack moto", op: "ListObjectVersions ListObjectsV2", ours: "ok", theirs: "ok", when: requestHas(`"max-keys":"0"`), why: "a page of no keys: what it says of the next one is documented nowhere"},

	{judges: "ministack moto", op: "ListObjectVersions", ours: "ok", theirs: "ok", when: both(requestHas(`"key-marker"`), func(e exchange) bool { return !requestHas("version-id-marker")(e) }),
		why: "OURS: with a key-marker alone versitygw begins with that key, S3 behind it; the pages that follow each other name both markers"},
	{judges: "ministack moto", op: "GetObject HeadObject", when: besides("X-Amz-Delete-Marker"), why: "OURS: versitygw does not always say that a delete marker is why nothing is there"},
	{judges: "ministack moto", op: "HeadObject", ours: "ok", theirs: "ok", when: besides("X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "X-Amz-Object-Lock-Legal-Hold"),
		why: "OURS: versitygw's HeadObject tells of the lock of the newest version alone; GetObjectRetention and GetObjectLegalHold have it of each, and deletions heed it"},
	{judges: "ministack moto", op: "DeleteObject", ours: "InvalidArgument", theirs: "ok", when: requestHas(`"@v`), why: "OURS: S3 deletes a version that is gone already with success, versitygw does not; the product deletes no object"},
	{judges: "ministack moto", op: "ListObjectVersions", ours: "ok", theirs: "ok", when: requestHas("version-id-marker"),
		why: "OURS: behind the last version of a key a page may have one more than was asked for; the next one goes on behind it"},
	{judges: "ministack moto", op: "ListObjectsV2", ours: "ok", theirs: "ok", when: either(besides("IsTruncated"), requestHas(`"delimiter"`)),
		why: "OURS: versitygw counts the folders that deleted objects and uploads leave: a page may say that another follows, which is empty, and name a prefix without objects; the product lists versions, without a delimiter"},
	{judges: "ministack", op: "GetObjectLegalHold", ours: "NoSuchObjectLockConfiguration", theirs: "ok", why: "OURS: versitygw forgets a hold that is OFF once the version is not the newest; ON stays"},
	{judges: "ministack moto", op: "CompleteMultipartUpload", ours: "ok", theirs: "ok", when: besides("X-Amz-Version-Id"), why: "by the API reference the same completion again succeeds; versitygw names no version then"},
	{judges: "ministack moto", op: "DeleteObject", ours: "NoSuchVersion", theirs: "ok", why: "OURS: S3 deletes a version that is gone already with success, versitygw does not; the product deletes no object"},
	{judges: "ministack", op: "DeleteObjects", ours: "ok", theirs: "ok", when: requestHas("u003cObject\\u003e\\u003c/Object"), why: "ministack says nothing of an object without a key"},
	{judges: "ministack moto", op: "DeleteObjects", ours: "ok", theirs: "ok", when: func(e exchange) bool { return text(e.ours.Body["Error"]) != "null" && requestHas("VersionId")(e) },
		why: "OURS: S3 deletes a version that is gone already with success, versitygw with InvalidArgument; the product deletes no object"},

	// The judge takes what S3 refuses.
	{judges: "ministack moto", op: "PutObject CreateMultipartUpload UploadPart", theirs: "ok", when: said(oursOf, formRefusals),
		why: "the judges take keys of over 1,024 bytes, retentions in the past or of no mode, checksums that are none or wrong, two checksums at once, locks without a checksum or in a bucket without; the API reference of PutObject rules each out"},
	{judges: "ministack moto", op: "PutObjectRetention PutObjectLegalHold CompleteMultipartUpload DeleteObjects", theirs: "ok", when: said(oursOf, "MalformedXML InvalidArgument InvalidRequest BadDigest"),
		why: "the judges take documents that are none of the API's schema, dates in the past, and locks in a bucket without"},
	{judges: "ministack moto", op: "PutObjectRetention", ours: "AccessDenied", theirs: "ok", why: "a retention that is to be made weaker needs the bypass, and compliance can't be left at all: user guide, Object Lock"},
	{judges: "ministack moto", op: "ListObjectVersions ListObjectsV2 ListParts ListMultipartUploads", ours: "InvalidArgument", theirs: "ok", why: "the judges take a number of keys below 0, and encodings that do not exist"},
	{judges: "moto", op: "GetObjectRetention GetObjectLegalHold", theirs: "ok", when: said(oursOf, "NoSuchObjectLockConfiguration InvalidRequest"),
		why: "moto answers with the object itself where it has no lock; the list of S3's error codes has NoSuchObjectLockConfiguration, 404"},
	{judges: "ministack moto", op: "DeleteObject", ours: "InvalidArgument", theirs: "ok", when: requestHas("not-a-version"), why: "what can't be a version's id is InvalidArgument (Invalid version id specified)"},
	{judges: "ministack moto", op: "DeleteObjects", ours: "ok", theirs: "ok", when: requestHas("not-a-version"), why: "what can't be a version's id is InvalidArgument (Invalid version id specified)"},

	{judges: "ministack", op: "CompleteMultipartUpload", ours: "EntityTooSmall", theirs: "ok", why: "ministack joins parts of less than 5 MB; the list of S3's error codes has EntityTooSmall"},

	// Both refuse, with another name.
	{judges: "ministack moto", when: both(requestHas("not-a-version"), said(theirsOf, "NoSuchVersion NoSuchKey")),
		why: "what can't be a version's id is InvalidArgument (Invalid version id specified); a key that is not there is named first"},
	{judges: "ministack moto", op: "HeadObject", ours: "HTTP 400", theirs: "HTTP 404", when: requestHas("not-a-version"), why: "what can't be a version's id is InvalidArgument (Invalid version id specified)"},
	{judges: "ministack moto", when: either(both(said(oursOf, formRefusals), said(theirsOf, stateRefusals)), both(said(oursOf, stateRefusals), said(theirsOf, formRefusals)), both(said(oursOf, formRefusals), said(theirsOf, formRefusals))),
		why: "two mistakes in one request, or one that has two names: which is named is documented nowhere"},

	{judges: "ministack moto", when: both(said(oursOf, "NoSuchKey NoSuchVersion MethodNotAllowed"), said(theirsOf, "NoSuchKey NoSuchVersion MethodNotAllowed")),
		why: "no key, no version, or a delete marker: which is named is documented for GetObject alone"},
	{judges: "ministack moto", op: "PutObject", ours: "PreconditionFailed", theirs: "NoSuchKey", when: requestHas("If-Match"), why: "If-Match over a delete marker: S3's page on conditional writes has 404 where no object is; the product sends no If-Match"},
	{judges: "ministack moto", op: "CompleteMultipartUpload", ours: "ok", theirs: "NoSuchUpload", why: "by the API reference the same completion again succeeds"},

	// Answers.
	{judges: "ministack moto", op: "GetObject HeadObject", ours: "ok", theirs: "InvalidRange", when: requestHas(`"Range"`), why: "a range that is none by RFC 9110 (last before first, another unit, no number) is ignored"},
	{judges: "ministack moto", op: "HeadObject", ours: "ok", theirs: "HTTP 416", when: requestHas(`"Range"`), why: "a range that is none by RFC 9110 (last before first, another unit, no number) is ignored"},
	{judges: "ministack moto", op: "GetObject HeadObject", when: either(requestHas("bytes=-0"), requestHas("bytes=5-2"), requestHas("bytes=0-1,3-4"), requestHas("bytes=x-y"), requestHas("lines="), requestHas(`"bytes="`)),
		why: "of odd ranges S3's documents say nothing but RFC 9110: one that is none is ignored, one that nothing satisfies is 416, of several S3 gives all"},
	{judges: "ministack", op: "GetObject", when: both(requestHas(`"Range"`), requestHas("versionId")), why: "ministack gives a named version whole"},
	{judges: "ministack", op: "GetObjectTagging", ours: "ok", when: either(requestHas("versionId"), besides("TagSet")), why: "ministack knows the tags of the newest version alone, and of two tags the order is nobody's business"},
	{judges: "moto", op: "GetObjectRetention GetObjectLegalHold", ours: "ok", theirs: "ok", when: besides("X-Amz-Version-Id"), why: "moto names the version; S3's answer has no such part"},
	{judges: "moto", op: "GetObjectRetention GetObjectLegalHold", ours: "ok", theirs: "ok", when: func(e exchange) bool { return e.theirs.Body["Etag"] != nil }, why: "moto answers with the object itself where another write came between"},
	{judges: "ministack", op: "HeadObject", when: requestHas(`"Range"`), why: "ministack's HeadObject knows no range"},
	{judges: "moto", op: "GetObject HeadObject", theirs: "PreconditionFailed", when: either(requestHas(`"If-Match":"*"`), requestHas(`"If-Unmodified-Since"`)),
		why: "moto compares with *, which by RFC 9110 is any, and heeds If-Unmodified-Since beside an If-Match that holds, which the API reference of GetObject has return 200"},
	{judges: "moto", op: "HeadObject", theirs: "HTTP 412", when: either(requestHas(`"If-Match":"*"`), requestHas(`"If-Unmodified-Since"`)), why: "as for GetObject"},
	{judges: "ministack moto", op: "GetObject", ours: "ok", theirs: "ok", when: besides("X-Amz-Checksum-Crc32", "X-Amz-Checksum-Sha256"), why: "of a range that is the whole object ours gives the object's checksum"},
	{judges: "ministack moto", op: "CompleteMultipartUpload", ours: "NoSuchUpload", theirs: "PreconditionFailed", why: "no such upload, and an object in its place: which is named is documented nowhere"},
	{judges: "moto", op: "GetObject HeadObject", ours: "HTTP 304", when: requestHas(`"If-None-Match":"*"`), why: "moto compares with *, which by RFC 9110 is any"},
	{judges: "ministack moto", op: "HeadObject GetObject", ours: "ok", theirs: "ok", when: besides("X-Amz-Tagging-Count"), why: "the judges do not always count an object's tags"},
	{judges: "moto", op: "ListObjectVersions ListObjectsV2", ours: "ok", theirs: "ok", when: besides("MaxKeys"), why: "moto repeats a number of keys of over 1,000, where S3 says 1,000"},
	{judges: "ministack", op: "ListObjectVersions ListObjectsV2", ours: "ok", theirs: "ok", when: besides("MaxKeys"), why: "ministack repeats a number of keys of over 1,000, where S3 says 1,000"},
	{judges: "moto", op: "ListMultipartUploads", ours: "ok", theirs: "ok", when: either(requestHas("max-uploads"), besides("MaxUploads", "KeyMarker", "UploadIdMarker", "Prefix")), why: "moto counts and cuts no uploads, and does not repeat the prefix"},
}
