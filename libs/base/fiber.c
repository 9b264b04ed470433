#include "base/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/macros.h"

/* The sanitizers follow what a thread's stack is, and what happens before what; they have to be told of another stack. */
#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
/* Right before the switch, in the same function: what is entered and left is counted for each stack. */
#define FIBER_TSAN_SWITCH(to) __tsan_switch_to_fiber(to, 0)
#else
#define FIBER_TSAN_SWITCH(to) ((void)0)
#endif

enum fiber_state { FIBER_IDLE, FIBER_RUNS, FIBER_YIELDED };

struct mrd_fiber {
    enum fiber_state state;
    mrd_fiber_fn *fn;
    void *fn_context;
    ucontext_t inside;
    ucontext_t outside; /* of whoever started or resumed it */
    uint8_t *mapping;   /* the guard page, then the stack */
    size_t mapping_bytes;
    size_t guard_bytes;

    /* The sanitizers'. */
    void *fake_inside;
    void *fake_outside;
    const void *outside_stack;
    size_t outside_bytes;
    void *thread_inside;
    void *thread_outside;
};

static void *stack_of(const struct mrd_fiber *fiber) { return fiber->mapping + fiber->guard_bytes; }

static size_t stack_bytes_of(const struct mrd_fiber *fiber)
{
    return fiber->mapping_bytes - fiber->guard_bytes;
}

/* By itself, since the compiler takes it for a function that returns twice. */
static void context_init(ucontext_t *context) { mrd_assert(getcontext(context) == 0); }

struct mrd_fiber *mrd_fiber_create(size_t stack_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = (stack_bytes + page - 1) / page * page + page;
    struct mrd_fiber *fiber = calloc(1, sizeof(*fiber));
    mrd_assert(fiber != NULL);
    fiber->mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (fiber->mapping == MAP_FAILED) {
        free(fiber);
        return NULL;
    }
    fiber->mapping_bytes = bytes;
    fiber->guard_bytes = page;
    mrd_assert(mprotect(fiber->mapping, page, PROT_NONE) == 0);
    context_init(&fiber->inside);
    return fiber;
}

void mrd_fiber_destroy(struct mrd_fiber **fiber)
{
    if (*fiber != NULL) {
        mrd_assert((*fiber)->state == FIBER_IDLE);
        mrd_assert(munmap((*fiber)->mapping, (*fiber)->mapping_bytes) == 0);
        free(*fiber);
        *fiber = NULL;
    }
}

/* ---- what the sanitizers are told ---- */

static void enter_begin(struct mrd_fiber *fiber)
{
    (void)fiber;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&fiber->fake_outside, stack_of(fiber), stack_bytes_of(fiber));
#endif
}

static void enter_end(struct mrd_fiber *fiber)
{
    (void)fiber;
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_inside, &fiber->outside_stack,
                                    &fiber->outside_bytes);
#endif
}

static void leave_begin(struct mrd_fiber *fiber, bool ended)
{
    (void)fiber, (void)ended;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(ended ? NULL : &fiber->fake_inside, fiber->outside_stack,
                                   fiber->outside_bytes);
    fiber->fake_inside = ended ? NULL : fiber->fake_inside;
#endif
}

static void leave_end(struct mrd_fiber *fiber)
{
    (void)fiber;
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fiber->fake_outside, NULL, NULL);
#endif
}

/* ---- switching ---- */

/* makecontext passes integers only. */
static void fiber_main(unsigned high, unsigned low)
{
    struct mrd_fiber *fiber =
        (struct mrd_fiber *)(((uintptr_t)high << 16 << 16) | (uintptr_t)low); /* NOLINT */
    enter_end(fiber);
    fiber->fn(fiber->fn_context);
    fiber->state = FIBER_IDLE;
    leave_begin(fiber, true);
    FIBER_TSAN_SWITCH(fiber->thread_outside);
    (void)setcontext(&fiber->outside);
    abort(); /* it does not come back */
}

static bool enter(struct mrd_fiber *fiber)
{
    fiber->state = FIBER_RUNS;
    enter_begin(fiber);
#ifdef FIBER_TSAN
    fiber->thread_outside = __tsan_get_current_fiber();
#endif
    FIBER_TSAN_SWITCH(fiber->thread_inside);
    mrd_assert(swapcontext(&fiber->outside, &fiber->inside) == 0);
    leave_end(fiber);
#ifdef FIBER_TSAN
    if (fiber->state == FIBER_IDLE) {
        __tsan_destroy_fiber(fiber->thread_inside);
    }
#endif
    return fiber->state == FIBER_IDLE;
}

bool mrd_fiber_start(struct mrd_fiber *fiber, mrd_fiber_fn *fn, void *context)
{
    mrd_assert(fiber->state == FIBER_IDLE);
    fiber->fn = fn;
    fiber->fn_context = context;
    fiber->inside.uc_stack.ss_sp = stack_of(fiber);
    fiber->inside.uc_stack.ss_size = stack_bytes_of(fiber);
    fiber->inside.uc_link = NULL;
    const uintptr_t address = (uintptr_t)fiber;
    makecontext(&fiber->inside, (void (*)(void))fiber_main, 2, (unsigned)(address >> 16 >> 16),
                (unsigned)(address & UINT32_MAX));
#ifdef FIBER_TSAN
    fiber->thread_inside = __tsan_create_fiber(0);
#endif
    return enter(fiber);
}

bool mrd_fiber_resume(struct mrd_fiber *fiber)
{
    mrd_assert(fiber->state == FIBER_YIELDED);
    return enter(fiber);
}

void mrd_fiber_yield(struct mrd_fiber *fiber)
{
    mrd_assert(fiber->state == FIBER_RUNS);
    fiber->state = FIBER_YIELDED;
    leave_begin(fiber, false);
    FIBER_TSAN_SWITCH(fiber->thread_outside);
    mrd_assert(swapcontext(&fiber->inside, &fiber->outside) == 0);
    enter_end(fiber);
}
