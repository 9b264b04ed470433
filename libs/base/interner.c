#include "base/interner.h"

#include "base/hash.h"

enum { SLOTS_MIN = 256 };

void mrd_interner_fini(struct mrd_interner *texts)
{
    mrd_buf_fini(&texts->bytes);
    mrd_buf_fini(&texts->places);
    mrd_buf_fini(&texts->slots);
    texts->count = 0;
}

void mrd_interner_clear(struct mrd_interner *texts)
{
    mrd_buf_clear(&texts->bytes);
    mrd_buf_clear(&texts->places);
    mrd_buf_clear(&texts->slots);
    texts->count = 0;
}

struct mrd_bytes mrd_interner_at(const struct mrd_interner *texts, uint32_t number)
{
    const size_t *ends = (const size_t *)(const void *)texts->places.data;
    mrd_assert(number < texts->count);
    const size_t begin = number == 0 ? 0 : ends[number - 1];
    return (struct mrd_bytes){texts->bytes.data + begin, ends[number] - begin};
}

static size_t slot_count(const struct mrd_interner *texts)
{
    return texts->slots.size / sizeof(uint32_t);
}

/* The slot of a text: one that has it, or the free one where it goes. */
static uint32_t *slot_of(const struct mrd_interner *texts, struct mrd_bytes text)
{
    uint32_t *slots = (uint32_t *)(void *)texts->slots.data;
    const size_t mask = slot_count(texts) - 1;
    size_t at = (size_t)mrd_hash64(text, 0) & mask;
    while (slots[at] != 0 && !mrd_bytes_equal(mrd_interner_at(texts, slots[at] - 1), text)) {
        at = (at + 1) & mask;
    }
    return &slots[at];
}

/* At most half of the slots are taken. */
static void slots_grow(struct mrd_interner *texts)
{
    const size_t count = MRD_MAX(2 * slot_count(texts), (size_t)SLOTS_MIN);
    const size_t size = count * sizeof(uint32_t);
    mrd_buf_clear(&texts->slots);
    uint8_t *room = mrd_buf_reserve(&texts->slots, size);
    mrd_assert(room != NULL);
    memset(room, 0, size);
    texts->slots.size = size;
    for (uint32_t i = 0; i < texts->count; i++) {
        *slot_of(texts, mrd_interner_at(texts, i)) = i + 1;
    }
}

uint32_t mrd_interner_put(struct mrd_interner *texts, struct mrd_bytes text)
{
    if (2 * ((size_t)texts->count + 1) > slot_count(texts)) {
        slots_grow(texts);
    }
    uint32_t *slot = slot_of(texts, text);
    if (*slot != 0) {
        return *slot - 1;
    }
    mrd_assert(texts->count < UINT32_MAX - 1);
    mrd_buf_append_bytes(&texts->bytes, text);
    mrd_buf_append(&texts->places, &texts->bytes.size, sizeof(size_t));
    mrd_assert(!texts->bytes.failed && !texts->places.failed);
    *slot = ++texts->count;
    return *slot - 1;
}
