/* Tells libFuzzer which code an input reached, in codecs that any gcc or clang compiled with -fsanitize-coverage=trace-pc.

   In: a call from every basic block. Out: one of 65,536 counters, found by the block's address. Two blocks in a
   hundred may share one. Preloaded in front of libFuzzer, which knows only clang's own counters. Above: instrument.py. */

#include <stdint.h>

#define BITS 16

void __sanitizer_cov_8bit_counters_init(uint8_t *first, uint8_t *end);
void __sanitizer_cov_pcs_init(const uintptr_t *first, const uintptr_t *end);

static uint8_t counters[1 << BITS];
static uintptr_t places[1 << BITS][2]; /* libFuzzer counts coverage only where it has a place for each counter; it never looks. */

void __sanitizer_cov_trace_pc(void)
{
    uint64_t block = (uint64_t)(uintptr_t)__builtin_return_address(0);
    counters[(block * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - BITS)]++;
}

/* gcc reports comparisons of floating point too. libFuzzer learns from those of integers alone. */
void __sanitizer_cov_trace_cmpf(float one, float other) { (void)one, (void)other; }
void __sanitizer_cov_trace_cmpd(double one, double other) { (void)one, (void)other; }

__attribute__((constructor)) static void announce(void)
{
    __sanitizer_cov_8bit_counters_init(counters, counters + (1 << BITS));
    __sanitizer_cov_pcs_init(places[0], places[1 << BITS]);
}
