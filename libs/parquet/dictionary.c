#include "parquet/dictionary.h"

#include <stdlib.h>

#include "base/hash.h"

enum { SLOTS_MIN = 64 };

void mrd_pq_dictionary_init(struct mrd_pq_dictionary *dictionary, size_t size_max)
{
    *dictionary = (struct mrd_pq_dictionary){.size_max = size_max};
}

void mrd_pq_dictionary_fini(struct mrd_pq_dictionary *dictionary)
{
    mrd_buf_fini(&dictionary->bytes);
    mrd_buf_fini(&dictionary->ends);
    free(dictionary->slots);
    *dictionary = (struct mrd_pq_dictionary){0};
}

void mrd_pq_dictionary_clear(struct mrd_pq_dictionary *dictionary)
{
    mrd_buf_clear(&dictionary->bytes);
    mrd_buf_clear(&dictionary->ends);
    dictionary->count = 0;
    if (dictionary->slots != NULL) {
        memset(dictionary->slots, 0, dictionary->slot_count * sizeof(dictionary->slots[0]));
    }
}

struct mrd_bytes mrd_pq_dictionary_value(const struct mrd_pq_dictionary *dictionary, uint32_t index)
{
    const uint32_t *ends = (const uint32_t *)(const void *)dictionary->ends.data;
    const uint32_t begin = index == 0 ? 0 : ends[index - 1];
    const uint32_t size = ends[index] - begin;
    return (struct mrd_bytes){size == 0 ? (const uint8_t *)"" : dictionary->bytes.data + begin,
                              size};
}

/* The slot of the value, or the empty one where it belongs. */
static uint32_t *find(const struct mrd_pq_dictionary *dictionary, struct mrd_bytes value)
{
    size_t at = mrd_hash64(value, 0) & (dictionary->slot_count - 1);
    for (;;) {
        uint32_t *slot = &dictionary->slots[at];
        if (*slot == 0 || mrd_bytes_equal(mrd_pq_dictionary_value(dictionary, *slot - 1), value)) {
            return slot;
        }
        at = (at + 1) & (dictionary->slot_count - 1);
    }
}

static bool grow(struct mrd_pq_dictionary *dictionary)
{
    const size_t count = dictionary->slots == NULL ? SLOTS_MIN : dictionary->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof(slots[0]));
    if (slots == NULL) {
        return false;
    }
    free(dictionary->slots);
    dictionary->slots = slots;
    dictionary->slot_count = count;
    for (uint32_t i = 0; i < dictionary->count; i++) {
        *find(dictionary, mrd_pq_dictionary_value(dictionary, i)) = i + 1;
    }
    return true;
}

bool mrd_pq_dictionary_index(struct mrd_pq_dictionary *dictionary, struct mrd_bytes value,
                             uint32_t *out_index)
{
    if ((dictionary->count + 1) * (size_t)2 > dictionary->slot_count && !grow(dictionary)) {
        return false;
    }
    uint32_t *slot = find(dictionary, value);
    if (*slot == 0) {
        const size_t size = dictionary->bytes.size + (dictionary->count + (size_t)1) * 4;
        if (dictionary->count == MRD_PQ_DICTIONARY_VALUES_MAX || size > dictionary->size_max ||
            value.size > dictionary->size_max - size) {
            return false;
        }
        mrd_buf_append_bytes(&dictionary->bytes, value);
        mrd_buf_append_u32(&dictionary->ends, (uint32_t)dictionary->bytes.size);
        if (dictionary->bytes.failed || dictionary->ends.failed) {
            return false;
        }
        *slot = ++dictionary->count;
    }
    *out_index = *slot - 1;
    return true;
}

size_t mrd_pq_dictionary_memory(const struct mrd_pq_dictionary *dictionary)
{
    return dictionary->bytes.size + dictionary->ends.size +
           dictionary->slot_count * sizeof(dictionary->slots[0]);
}
