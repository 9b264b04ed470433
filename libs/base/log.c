#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"

enum { LOG_LINE_MAX = 8192, LOG_VALUE_MAX = 2048 };

_Atomic int mrd_log_level_now = MRD_LEVEL_INFO;
static _Atomic int log_format = MRD_LOG_LOGFMT;
static _Atomic(const char *) log_service;

struct log_sink {
    void (*write)(void *context, struct mrd_bytes line);
    void *context;
};
static struct log_sink log_sink; /* for tests: set while nobody logs */

static const char *const level_names[] = {
    [MRD_LEVEL_DEBUG] = "debug",
    [MRD_LEVEL_INFO] = "info",
    [MRD_LEVEL_WARN] = "warn",
    [MRD_LEVEL_ERROR] = "error",
};

void mrd_log_level_set(enum mrd_log_level level)
{
    atomic_store_explicit(&mrd_log_level_now, (int)level, memory_order_relaxed);
}

enum mrd_log_level mrd_log_level(void)
{
    return (enum mrd_log_level)atomic_load_explicit(&mrd_log_level_now, memory_order_relaxed);
}

void mrd_log_format_set(enum mrd_log_format format)
{
    atomic_store_explicit(&log_format, (int)format, memory_order_relaxed);
}

void mrd_log_service_set(const char *service)
{
    atomic_store_explicit(&log_service, service, memory_order_release);
}

void mrd_log_sink_set(void (*sink)(void *context, struct mrd_bytes line), void *context)
{
    log_sink = (struct log_sink){sink, context};
}

const char *mrd_log_level_name(enum mrd_log_level level)
{
    mrd_assert((size_t)level < MRD_ARRAY_LEN(level_names));
    return level_names[level];
}

bool mrd_log_level_parse(struct mrd_bytes text, enum mrd_log_level *out_level)
{
    for (size_t i = 0; i < MRD_ARRAY_LEN(level_names); i++) {
        if (mrd_bytes_equal(text, mrd_bytes_of(level_names[i]))) {
            *out_level = (enum mrd_log_level)i;
            return true;
        }
    }
    return false;
}

/* ---- a line, built on the stack ---- */

struct log_line {
    char text[LOG_LINE_MAX];
    size_t size;
    bool json;
    bool cut;
};

/* What ends every line even if the fields did not fit: room for it is kept free. */
enum { LOG_LINE_TAIL = sizeof(",\"cut\":\"...\"}\n") };

static void line_add(struct log_line *line, const char *text, size_t size)
{
    if (line->cut || size > sizeof(line->text) - LOG_LINE_TAIL - line->size) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void line_add_text(struct log_line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

/* JSON string escapes; logfmt uses the same ones inside quotes. Bytes that are not UTF-8 would make
 * the line unreadable to strict readers, so they become U+FFFD. */
static void line_add_escaped(struct log_line *line, struct mrd_bytes value, bool utf8)
{
    for (size_t i = 0; i < value.size; i++) {
        const uint8_t byte = value.data[i];
        char escaped[8];
        if (byte == '"' || byte == '\\') {
            line_add(line, (const char[]){'\\', (char)byte}, 2);
        } else if (byte == '\n') {
            line_add(line, "\\n", 2);
        } else if (byte < 0x20 || byte == 0x7f) {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
            line_add(line, escaped, 6);
        } else if (byte >= 0x80 && !utf8) {
            line_add(line, "\xef\xbf\xbd", 3);
        } else {
            line_add(line, (const char *)value.data + i, 1);
        }
    }
}

static void line_add_quoted(struct log_line *line, struct mrd_bytes value)
{
    const bool utf8 = mrd_bytes_utf8_valid(value);
    struct mrd_bytes kept = value;
    if (value.size > LOG_VALUE_MAX) {
        kept.size = LOG_VALUE_MAX;
        while (utf8 && kept.size > 0 && (kept.data[kept.size] & 0xc0) == 0x80) {
            kept.size--; /* not in the middle of a character */
        }
    }
    line_add(line, "\"", 1);
    line_add_escaped(line, kept, utf8);
    line_add_text(line, kept.size < value.size ? "...\"" : "\"");
}

/* logfmt needs no quotes around simple words. */
static bool value_is_plain(struct mrd_bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        const uint8_t byte = value.data[i];
        if (byte <= 0x20 || byte >= 0x7f || byte == '"' || byte == '=' || byte == '\\') {
            return false;
        }
    }
    return value.size > 0 && value.size <= LOG_VALUE_MAX;
}

static void line_add_key(struct log_line *line, const char *key)
{
    if (line->json) {
        line_add_text(line, line->size == 1 ? "\"" : ",\"");
        line_add_text(line, key);
        line_add_text(line, "\":");
    } else {
        line_add_text(line, line->size == 0 ? "" : " ");
        line_add_text(line, key);
        line_add_text(line, "=");
    }
}

static void line_add_value(struct log_line *line, struct mrd_bytes value)
{
    if (line->json || !value_is_plain(value)) {
        line_add_quoted(line, value);
    } else {
        line_add(line, (const char *)value.data, value.size);
    }
}

static void line_add_float(struct log_line *line, double value)
{
    char number[MRD_DOUBLE_TEXT_MAX];
    const size_t size = mrd_double_format_g(value, number);
    if (line->json && !isfinite(value)) { /* JSON has no such numbers */
        line_add_quoted(line, (struct mrd_bytes){(const uint8_t *)number, size});
    } else {
        line_add(line, number, size);
    }
}

static void line_add_field(struct log_line *line, const struct mrd_log_field *field)
{
    char number[32];
    const size_t size_before = line->size;
    line_add_key(line, field->key);
    switch (field->type) {
    case MRD_LOG_FIELD_TEXT:
        line_add_value(line, field->text);
        break;
    case MRD_LOG_FIELD_INT:
        (void)snprintf(number, sizeof(number), "%lld", (long long)field->int_value);
        line_add_text(line, number);
        break;
    case MRD_LOG_FIELD_UINT:
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)field->uint_value);
        line_add_text(line, number);
        break;
    case MRD_LOG_FIELD_FLOAT:
        line_add_float(line, field->float_value);
        break;
    case MRD_LOG_FIELD_BOOL:
        line_add_text(line, field->bool_value ? "true" : "false");
        break;
    case MRD_LOG_FIELD_NONE:
        mrd_assert(field->type != MRD_LOG_FIELD_NONE);
    }
    if (line->cut) {
        line->size = size_before; /* a field is there whole or not at all */
    }
}

static void line_add_time(struct log_line *line)
{
    const mrd_time_ms now_ms = mrd_clock_now_ms(mrd_clock_system());
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    char text[40];
    const size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + size, sizeof(text) - size, ".%03dZ", (int)(now_ms % 1000));
    line_add_key(line, "ts");
    line_add_value(line, mrd_bytes_of(text));
}

static void line_end(struct log_line *line)
{
    const char *tail = line->json ? "}\n" : "\n";
    if (line->cut) {
        tail = line->json ? ",\"cut\":\"...\"}\n" : " cut=...\n";
    }
    const size_t size = strlen(tail);
    mrd_assert(size <= sizeof(line->text) - line->size);
    memcpy(line->text + line->size, tail, size);
    line->size += size;
}

static void line_write(const struct log_line *line)
{
    if (log_sink.write != NULL) {
        log_sink.write(log_sink.context,
                       (struct mrd_bytes){(const uint8_t *)line->text, line->size});
        return;
    }
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line->text, line->size);
    } while (written < 0 && errno == EINTR);
}

void mrd_log_write(enum mrd_log_level level, const char *message,
                   const struct mrd_log_field *fields, size_t field_count)
{
    struct log_line line;
    line.size = 0;
    line.cut = false;
    line.json = atomic_load_explicit(&log_format, memory_order_relaxed) == MRD_LOG_JSON;
    line_add_text(&line, line.json ? "{" : "");
    line_add_time(&line);
    const char *service = atomic_load_explicit(&log_service, memory_order_acquire);
    const struct mrd_log_field head[] = {
        mrd_log_str("level", mrd_log_level_name(level)),
        mrd_log_str("service", service),
        mrd_log_str("msg", message),
    };
    for (size_t i = 0; i < MRD_ARRAY_LEN(head); i++) {
        if (i != 1 || service != NULL) {
            line_add_field(&line, &head[i]);
        }
    }
    for (size_t i = 0; i < field_count; i++) {
        line_add_field(&line, &fields[i]);
    }
    line_end(&line);
    line_write(&line);
}

bool mrd_log_limit_pass(struct mrd_log_limit *limit, int64_t interval_ms, uint64_t *out_suppressed)
{
    const int64_t now_ns = mrd_clock_monotonic_ns(mrd_clock_system());
    int64_t next_ns = atomic_load_explicit(&limit->next_ns, memory_order_relaxed);
    /* Relaxed: the exchange alone decides who writes; nothing else is published by it. */
    if (now_ns < next_ns || !atomic_compare_exchange_strong_explicit(
                                &limit->next_ns, &next_ns, now_ns + interval_ms * 1000000,
                                memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *out_suppressed = atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed);
    return true;
}
