/* log.h: structured log lines on stderr, as logfmt or JSON, one write(2) per line.
 *
 * Only services log (a library returns a status and a text). A line is a message, which is a constant
 * sentence, and fields, which carry what varies; values are escaped, whatever they hold:
 *
 *     MRD_LOG_INFO("partition opened", mrd_log_int("partition", p), mrd_log_str("stream", name));
 *
 * Fields are only evaluated if the level is on. Never pass a secret. Threads: any. Bounds: a line is
 * cut at 8 KiB, a field's value at 2 KiB, and marked with "...".
 */
#ifndef MRD_BASE_LOG_H
#define MRD_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/bytes.h"

enum mrd_log_level { MRD_LEVEL_DEBUG, MRD_LEVEL_INFO, MRD_LEVEL_WARN, MRD_LEVEL_ERROR };
enum mrd_log_format { MRD_LOG_LOGFMT, MRD_LOG_JSON };

struct mrd_log_field {
    const char *key; /* a constant, [a-z0-9_]+ */
    enum {
        MRD_LOG_FIELD_NONE,
        MRD_LOG_FIELD_TEXT,
        MRD_LOG_FIELD_INT,
        MRD_LOG_FIELD_UINT,
        MRD_LOG_FIELD_FLOAT,
        MRD_LOG_FIELD_BOOL
    } type;
    union {
        struct mrd_bytes text;
        int64_t int_value;
        uint64_t uint_value;
        double float_value;
        bool bool_value;
    };
};

/* What is logged and how; may change at any time, from any thread. The start: info, logfmt. */
void mrd_log_level_set(enum mrd_log_level level);
enum mrd_log_level mrd_log_level(void);
void mrd_log_format_set(enum mrd_log_format format);

/* "debug", "info", "warn", "error". */
const char *mrd_log_level_name(enum mrd_log_level level);
MRD_MUST_CHECK bool mrd_log_level_parse(struct mrd_bytes text, enum mrd_log_level *out_level);

/* A service=... field on every line; static storage. NULL: none (the start). */
void mrd_log_service_set(const char *service);

/* Where lines go, for tests; NULL: stderr. `line` ends with '\n'. */
void mrd_log_sink_set(void (*sink)(void *context, struct mrd_bytes line), void *context);

extern _Atomic int mrd_log_level_now;
static inline bool mrd_log_on(enum mrd_log_level level)
{
    return (int)level >= atomic_load_explicit(&mrd_log_level_now, memory_order_relaxed);
}

void mrd_log_write(enum mrd_log_level level, const char *message,
                   const struct mrd_log_field *fields, size_t field_count);

/* ---- fields ---- */

static inline struct mrd_log_field mrd_log_bytes(const char *key, struct mrd_bytes value)
{
    return (struct mrd_log_field){.key = key, .type = MRD_LOG_FIELD_TEXT, .text = value};
}
static inline struct mrd_log_field mrd_log_str(const char *key, const char *value)
{
    return mrd_log_bytes(key, mrd_bytes_of(value != NULL ? value : ""));
}
static inline struct mrd_log_field mrd_log_int(const char *key, int64_t value)
{
    return (struct mrd_log_field){.key = key, .type = MRD_LOG_FIELD_INT, .int_value = value};
}
static inline struct mrd_log_field mrd_log_uint(const char *key, uint64_t value)
{
    return (struct mrd_log_field){.key = key, .type = MRD_LOG_FIELD_UINT, .uint_value = value};
}
static inline struct mrd_log_field mrd_log_float(const char *key, double value)
{
    return (struct mrd_log_field){.key = key, .type = MRD_LOG_FIELD_FLOAT, .float_value = value};
}
static inline struct mrd_log_field mrd_log_bool(const char *key, bool value)
{
    return (struct mrd_log_field){.key = key, .type = MRD_LOG_FIELD_BOOL, .bool_value = value};
}
/* error="<text>" of an error that a callee has filled. */
static inline struct mrd_log_field mrd_log_error(const struct mrd_error *err)
{
    return mrd_log_str("error", err->text);
}

/* ---- lines ---- */

#define MRD_LOG(level, message, ...)                                                               \
    do {                                                                                           \
        if (mrd_log_on(level)) {                                                                   \
            const struct mrd_log_field mrd_log_fields_[] = {{.type = MRD_LOG_FIELD_NONE},          \
                                                            ##__VA_ARGS__};                        \
            mrd_log_write(level, message, mrd_log_fields_ + 1,                                     \
                          MRD_ARRAY_LEN(mrd_log_fields_) - 1);                                     \
        }                                                                                          \
    } while (0)

#define MRD_LOG_DEBUG(message, ...) MRD_LOG(MRD_LEVEL_DEBUG, message, ##__VA_ARGS__)
#define MRD_LOG_INFO(message, ...) MRD_LOG(MRD_LEVEL_INFO, message, ##__VA_ARGS__)
#define MRD_LOG_WARN(message, ...) MRD_LOG(MRD_LEVEL_WARN, message, ##__VA_ARGS__)
#define MRD_LOG_ERROR(message, ...) MRD_LOG(MRD_LEVEL_ERROR, message, ##__VA_ARGS__)

/* Lets one line through per interval, from whatever thread; zero-initialise. */
struct mrd_log_limit {
    _Atomic int64_t next_ns;
    _Atomic uint64_t suppressed;
};

/* True if a line may be written now; *out_suppressed is how many were held back since the last. */
MRD_MUST_CHECK bool mrd_log_limit_pass(struct mrd_log_limit *limit, int64_t interval_ms,
                                       uint64_t *out_suppressed);

/* For what may happen a thousand times a second: at most one line per interval from this place, with
 * suppressed=<count of the lines held back>. */
#define MRD_LOG_EVERY(interval_ms, level, message, ...)                                            \
    do {                                                                                           \
        static struct mrd_log_limit mrd_log_limit_;                                                \
        uint64_t mrd_log_suppressed_;                                                              \
        if (mrd_log_on(level) &&                                                                   \
            mrd_log_limit_pass(&mrd_log_limit_, interval_ms, &mrd_log_suppressed_)) {              \
            MRD_LOG(level, message, mrd_log_uint("suppressed", mrd_log_suppressed_),               \
                    ##__VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)

#endif
