#include "promql/annotations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mrd_annotations_init(struct mrd_annotations *annotations, struct mrd_arena *arena,
                          struct mrd_bytes query)
{
    *annotations = (struct mrd_annotations){.arena = arena, .query = query};
}

static struct mrd_annotation *find(const struct mrd_annotations *annotations,
                                   enum mrd_annotation_kind kind, struct mrd_bytes raw)
{
    for (struct mrd_annotation *at = annotations->first[kind]; at != NULL; at = at->next) {
        if (mrd_bytes_equal((struct mrd_bytes){at->text.data, at->raw_size}, raw)) {
            return at;
        }
    }
    return NULL;
}

static struct mrd_annotation *append(struct mrd_annotations *annotations,
                                     enum mrd_annotation_kind kind)
{
    struct mrd_annotation *added = mrd_arena_alloc(annotations->arena, sizeof(*added));
    if (added == NULL) {
        return NULL;
    }
    if (annotations->last[kind] == NULL) {
        annotations->first[kind] = added;
    } else {
        annotations->last[kind]->next = added;
    }
    annotations->last[kind] = added;
    annotations->count[kind]++;
    return added;
}

/* The first raw_size bytes of `text` say what it is about, the rest where. */
static void add(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                struct mrd_bytes text, size_t raw_size, size_t order)
{
    struct mrd_annotation *at = find(annotations, kind, (struct mrd_bytes){text.data, raw_size});
    if (at != NULL && (at->order >= order || at->text.size == raw_size || at->occurrences > 0)) {
        return;
    }
    const struct mrd_bytes copy = at != NULL || annotations->count[kind] < MRD_ANNOTATIONS_MAX
                                      ? mrd_arena_copy(annotations->arena, text)
                                      : MRD_BYTES_NONE;
    if (at == NULL && copy.data != NULL) {
        at = append(annotations, kind);
    }
    if (at == NULL) {
        annotations->dropped[kind]++;
    } else if (copy.data != NULL) {
        at->text = copy;
        at->raw_size = raw_size;
        at->order = order;
    }
}

void mrd_annotations_add(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                         struct mrd_bytes text)
{
    add(annotations, kind, text, text.size, 0);
}

/* " (line:col)" as Prometheus counts: lines and bytes from 1. */
static void format_position(struct mrd_bytes query, size_t offset, char *out, size_t size)
{
    out[0] = 0;
    if (query.size == 0 || offset > query.size) {
        return;
    }
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (query.data[i] == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    (void)snprintf(out, size, " (%zu:%zu)", line, column);
}

enum { MESSAGE_MAX = 1024, POSITION_MAX = 64, BEHIND_MAX = POSITION_MAX + 48 };

/* "PromQL warning: <message>" */
MRD_PRINTF(4, 0)
static void format_message(char *out, size_t size, enum mrd_annotation_kind kind,
                           const char *format, va_list args)
{
    const int prefix =
        snprintf(out, size, "PromQL %s: ", kind == MRD_ANNOTATION_WARNING ? "warning" : "info");
    (void)vsnprintf(out + prefix, size - (size_t)prefix, format, args);
}

void mrd_annotations_addf(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                          struct mrd_annotation_place place, const char *format, ...)
{
    char message[MESSAGE_MAX + 32];
    char position[POSITION_MAX];
    char text[sizeof(message) + sizeof(position)];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof(message), kind, format, args);
    va_end(args);
    format_position(annotations->query, place.offset, position, sizeof(position));
    (void)snprintf(text, sizeof(text), "%s%s", message, position);
    const struct mrd_bytes whole = mrd_bytes_of(text);
    add(annotations, kind, whole, whole.size - strlen(position), place.order);
}

/* Adds to the number of an annotation that is counted. Its text has room for any number and place behind the message. */
static void count(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                  struct mrd_bytes message, size_t occurrences, struct mrd_annotation_place place)
{
    char position[POSITION_MAX];
    struct mrd_annotation *at = find(annotations, kind, message);
    if (at == NULL) {
        uint8_t *text = annotations->count[kind] == MRD_ANNOTATIONS_MAX
                            ? NULL
                            : mrd_arena_alloc(annotations->arena, message.size + BEHIND_MAX);
        at = text == NULL ? NULL : append(annotations, kind);
        if (at == NULL) {
            annotations->dropped[kind]++;
            return;
        }
        memcpy(text, message.data, message.size);
        *at = (struct mrd_annotation){
            .text = {text, message.size},
            .raw_size = message.size,
            .order = place.order,
            .offset = place.offset
        };
    } else if (at->occurrences == 0) {
        return; /* the same text, not counted: it is said already */
    } else if (place.order < at->order) {
        at->order = place.order;
        at->offset = place.offset;
    }
    at->occurrences += occurrences;
    format_position(annotations->query, at->offset, position, sizeof(position));
    char *behind = (char *)(uintptr_t)at->text.data + at->raw_size; /* of our own text */
    const int size = at->occurrences > 1 ? snprintf(behind, BEHIND_MAX, " (%zu occurrences)%s",
                                                    at->occurrences, position)
                                         : snprintf(behind, BEHIND_MAX, "%s", position);
    at->text.size = at->raw_size + (size_t)size;
}

void mrd_annotations_count(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                           struct mrd_annotation_place place, size_t occurrences,
                           const char *format, ...)
{
    char message[MESSAGE_MAX + 32];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof(message), kind, format, args);
    va_end(args);
    count(annotations, kind, mrd_bytes_of(message), occurrences, place);
}

void mrd_annotations_add_made(struct mrd_annotations *annotations, enum mrd_annotation_kind kind,
                              const struct mrd_annotation *made)
{
    mrd_assert(made->raw_size <= made->text.size);
    if (made->occurrences > 0) {
        count(annotations, kind, (struct mrd_bytes){made->text.data, made->raw_size},
              made->occurrences, (struct mrd_annotation_place){made->offset, made->order});
        return;
    }
    add(annotations, kind, made->text, made->raw_size, made->order);
}

static bool comes_before(const struct mrd_annotation *a, const struct mrd_annotation *b)
{
    return a->order != b->order ? a->order < b->order : mrd_bytes_compare(a->text, b->text) < 0;
}

/* By insertion: there are few, and MRD_ANNOTATIONS_MAX at most. */
static void sort_kind(struct mrd_annotations *annotations, enum mrd_annotation_kind kind)
{
    struct mrd_annotation *sorted = NULL;
    struct mrd_annotation *next = NULL;
    for (struct mrd_annotation *at = annotations->first[kind]; at != NULL; at = next) {
        struct mrd_annotation **place = &sorted;
        next = at->next;
        while (*place != NULL && !comes_before(at, *place)) {
            place = &(*place)->next;
        }
        at->next = *place;
        *place = at;
        if (at->next == NULL) {
            annotations->last[kind] = at;
        }
    }
    annotations->first[kind] = sorted;
}

void mrd_annotations_sort(struct mrd_annotations *annotations)
{
    sort_kind(annotations, MRD_ANNOTATION_WARNING);
    sort_kind(annotations, MRD_ANNOTATION_INFO);
}
