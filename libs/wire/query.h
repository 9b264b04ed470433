/* query.h: what queriers and distributors ask ingesters, and what comes back.
 *
 * Requests are protobuf-c messages (query.proto) on subject mrd.query.<instance>, sent over bus/rpc.h. One request asks for
 * several partitions; each is answered by itself. The rpc's chunks hold whole parts (struct mrd_query_part):
 *   DATA      bytes of a partition's answer, which can be read on their own, without copying
 *   END       its answer is complete; a trailer (struct mrd_query_trailer)
 *   FAILED    it has no answer here, or an incomplete one: a status and a text; others may have it
 *   ALONE     it is not answered in this question, which has grown large: ask for it by itself, here
 * DATA and END come partition by partition in the request's order, which is rising. Each partition ends with exactly one END,
 * FAILED or ALONE; an rpc that ends before all have is broken.
 *
 * DATA holds, by kind of question:
 *   SELECT         series frames (codec/frame.h). A series whose frame would pass the chunk size goes on in further
 *                  frames with the same labels; its chunks keep their order over all of them. Native histograms are chunks of
 *                  encoding MRD_CHUNK_HISTOGRAMS
 *   SERIES         series frames with no chunks
 *   LABEL_NAMES, LABEL_VALUES  texts: varint size, bytes; no order, none twice
 *   CARDINALITY    counts: u8 list, varint size, name bytes, varint series, varint values
 *   EXEMPLARS      exemplars: varint size, series' label bytes, zigzag time, 8 bytes value, varint size, label bytes; of one
 *                  series next to each other, the oldest first
 *   METADATA       families: u8 type, name, help, unit (each varint size, bytes), u64 hlc, u32 origin; sorted by name
 *   FRAGMENT       the states of the partition's groups (docs/formats/fragment.md), cut anywhere
 *   KNOWN          a bit for each id that was asked about (the first is bit 0 of byte 0): the head has that series. Asked by
 *                  distributors; of a partition without ids there is no DATA. The trailer's total is the tenant's series
 *
 * Bytes of all of it: docs/formats/rpc.md.
 *
 * Threads: plain values. Everything decoded points into the message or the arena.
 */
#ifndef MRD_WIRE_QUERY_H
#define MRD_WIRE_QUERY_H

#include "base/clock.h"
#include "model/exemplar.h"
#include "model/log_identity.h"
#include "model/matcher.h"
#include "model/metadata.h"

enum mrd_query_kind {
    MRD_QUERY_SELECT = 1,
    MRD_QUERY_SERIES = 2,
    MRD_QUERY_LABEL_NAMES = 3,
    MRD_QUERY_LABEL_VALUES = 4,
    MRD_QUERY_CARDINALITY = 5,
    MRD_QUERY_EXEMPLARS = 6,
    MRD_QUERY_METADATA = 7,
    MRD_QUERY_FRAGMENT = 8, /* MRD_E_UNSUPPORTED from ingesters that are older; likewise */
    MRD_QUERY_KNOWN = 9,
};

enum {
    MRD_QUERY_KINDS = MRD_QUERY_KNOWN + 1, /* 0 is none */
    MRD_QUERY_SUBJECT_MAX = 128,
    MRD_QUERY_MATCHERS_MAX = 1024,
    MRD_QUERY_REQUEST_BYTES_MAX = 1 << 20,
    MRD_QUERY_PARTITIONS_MAX = 4096,
    MRD_QUERY_IDS_MAX = 32768,    /* of all partitions together */
    MRD_QUERY_PART_HEAD_MAX = 16, /* bytes of a part but its own */
};

struct mrd_query_partition {
    uint32_t number;
    uint64_t
        sequence_min; /* strong read: answer only when the log is applied up to here; 0: as it is */
    /* Answer only if the head holds the log wholly from here or before, as blocks were left out for it; 0: in any case. An
     * ingester that started again with less would not be told apart else: it has the name that it had. */
    uint64_t sequence_first_max;
    /* Of which log these sequences are, as a tag (model/log_identity.h): answer only if the head has read that one. 0: of any */
    uint64_t log;
    /* With sequence_first_max: what blocks that were left out are built up to. Answer only if the log has that. */
    struct mrd_log_mark mark;
};

struct mrd_query_request {
    enum mrd_query_kind kind;
    struct mrd_bytes tenant;
    const struct mrd_matcher *matchers; /* all must hold */
    size_t matcher_count;
    mrd_time_ms time_min_ms; /* both ends included */
    mrd_time_ms time_max_ms;
    mrd_time_ms
        histograms_before_ms; /* SELECT, FRAGMENT: as of struct mrd_head_query; ignored by ingesters that are older */
    struct mrd_bytes label; /* LABEL_VALUES: which; CARDINALITY: the label whose values are counted;
                  METADATA: the only family wanted, or empty */
    uint64_t series_max;    /* of one partition, 0: none. More is MRD_E_LIMIT */
    uint64_t samples_max;   /* likewise */
    uint64_t
        memory_max; /* FRAGMENT: bytes that evaluating one partition may take, 0: the ingester's own bound */
    struct mrd_bytes
        fragment; /* FRAGMENT: promql/fragment.h; it says what is selected, not the matchers and times here */
    bool
        in_order; /* SELECT, FRAGMENT: series come in the order of model/series_order.h; ignored by ingesters that are older */
    bool patient; /* its tenant uses more than its share of the asker: others' questions go first.
                     * Ignored by ingesters that are older */
    uint32_t limit; /* CARDINALITY: the greatest n of each list; 0: all */
    const struct mrd_query_partition *partitions; /* at least one, rising by number */
    size_t partition_count;
    const mrd_series_id *ids;  /* KNOWN: those of the first partition first */
    const uint32_t *id_counts; /* how many of each partition; NULL: there are none */
    size_t id_count;           /* the sum of these */
};

/* "mrd.query.<instance>"; returns out. */
const char *mrd_query_subject(const char *instance, char out[MRD_QUERY_SUBJECT_MAX]);

void mrd_query_request_encode(const struct mrd_query_request *request, struct mrd_buf *out);

/* Checks all and compiles the regexes. The matchers must be given to mrd_query_request_fini, on success
 * only. MRD_E_INVALID says what is wrong; MRD_E_LIMIT comes from the arena. */
MRD_MUST_CHECK enum mrd_status mrd_query_request_decode(struct mrd_bytes bytes,
                                                        struct mrd_arena *arena,
                                                        struct mrd_query_request *out,
                                                        struct mrd_error *err);
void mrd_query_request_fini(struct mrd_query_request *request);

/* What tells how a request is to be scheduled. */
struct mrd_query_envelope {
    struct mrd_bytes tenant; /* a view into the request, empty if there is none */
    uint32_t kind;           /* may be any number */
    bool patient;
};

/* Without decoding the rest: as much of it as can be read, if the bytes are no request. */
struct mrd_query_envelope mrd_query_request_peek(struct mrd_bytes bytes);

/* ---- replies ---- */

struct mrd_query_trailer {
    uint64_t sequence; /* applied when the answer was begun */
    uint64_t series;
    uint64_t chunks;
    uint64_t
        samples;    /* in the chunks sent, times outside the range included; 16 bytes of a histogram
                         count as one */
    uint64_t total; /* CARDINALITY, KNOWN: series of the tenant in this partition */
    /* CARDINALITY of the metric name: the tenant's chunks, oldest and newest time; without any chunk the times mean nothing. */
    uint64_t head_chunks;
    mrd_time_ms time_min_ms;
    mrd_time_ms time_max_ms;
};
/* Later versions may append fields; missing ones read 0. */
MRD_MUST_CHECK enum mrd_status mrd_query_trailer_decode(struct mrd_bytes bytes,
                                                        struct mrd_query_trailer *out,
                                                        struct mrd_error *err);

enum mrd_query_part_kind {
    MRD_QUERY_PART_DATA = 1,
    MRD_QUERY_PART_END = 2,
    MRD_QUERY_PART_FAILED = 3,
    MRD_QUERY_PART_ALONE = 4,
};
struct mrd_query_part {
    enum mrd_query_part_kind kind;
    uint32_t partition;
    enum mrd_status status; /* FAILED */
    struct mrd_bytes bytes; /* DATA; END: the trailer; FAILED: the text */
};
void mrd_query_part_data(struct mrd_buf *out, uint32_t partition, struct mrd_bytes data);
/* What goes before `size` bytes of data that follow by another way. */
void mrd_query_part_data_head(struct mrd_buf *out, uint32_t partition, size_t size);
void mrd_query_part_end(struct mrd_buf *out, uint32_t partition,
                        const struct mrd_query_trailer *trailer);
void mrd_query_part_failed(struct mrd_buf *out, uint32_t partition, enum mrd_status status,
                           struct mrd_bytes text);
void mrd_query_part_alone(struct mrd_buf *out, uint32_t partition);

/* False at the end or when malformed (reader->failed tells which). */
bool mrd_query_part_read(struct mrd_reader *reader, struct mrd_query_part *out);

/* Texts: false at the end or when malformed (reader->failed tells which). */
void mrd_query_text_write(struct mrd_buf *out, struct mrd_bytes text);
bool mrd_query_text_read(struct mrd_reader *reader, struct mrd_bytes *out);

enum mrd_query_count_list {
    MRD_QUERY_COUNT_VALUES = 0, /* name: a value of the label; series with it */
    MRD_QUERY_COUNT_NAMES = 1,  /* name: a label name; series with it, and its values */
};
struct mrd_query_count {
    enum mrd_query_count_list list;
    struct mrd_bytes name;
    uint64_t series;
    uint64_t values;
};
void mrd_query_count_write(struct mrd_buf *out, const struct mrd_query_count *count);
bool mrd_query_count_read(struct mrd_reader *reader, struct mrd_query_count *out);

/* Exemplars and families, likewise. */
struct mrd_query_exemplar {
    struct mrd_bytes series; /* canonical labels */
    struct mrd_exemplar exemplar;
};
void mrd_query_exemplar_write(struct mrd_buf *out, const struct mrd_query_exemplar *exemplar);
bool mrd_query_exemplar_read(struct mrd_reader *reader, struct mrd_query_exemplar *out);

struct mrd_query_family {
    struct mrd_metadata metadata;
    mrd_hlc hlc; /* the greater (hlc, origin) is the newer, also across partitions */
    uint32_t origin;
};
void mrd_query_family_write(struct mrd_buf *out, const struct mrd_query_family *family);
bool mrd_query_family_read(struct mrd_reader *reader, struct mrd_query_family *out);

#endif
