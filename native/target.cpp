// The network for one instruction set: this file is compiled once for each, in a namespace of its own.
#include "target.h"

#include "blocks.h"

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#define JOIN_NAMES(a, b) a##b
#define JOIN(a, b) JOIN_NAMES(a, b)

namespace levit {
namespace LEVIT_TARGET {
namespace {

// The first layer not in fp32 that reads the stream before a block, or nullptr.
const Layer* next_encoded_layer(const Model& m, int block) {
  if (block >= m.block_count) return nullptr;
  const Block& b = m.blocks[block];
  if (!b.is_attention) return is_encoded(b.mlp.up) ? &b.mlp.up : nullptr;
  const Layer* layers[] = {&b.attention.query, &b.attention.key, &b.attention.value};
  for (const Layer* layer : layers)
    if (is_encoded(*layer)) return layer;
  return nullptr;
}

void pool(const float* stream, int images, int tokens, int width, const Member& member, float* features) {
  const int vectors = width / LANES;
  for (int v = member.begin(vectors); v < member.end(vectors); v++)
    for (int image = 0; image < images; image++) {
      const float* from = stream + Index(image) * tokens * width + v * LANES;
      Floats total = splat(0.f);
      for (int t = 0; t < tokens; t++) total += load(from + Index(t) * width);
      store(features + Index(image) * width + v * LANES, total * splat(1.f / tokens));
    }
}

// Number of blocks until the tokens are subsampled for the first time. They are computed image by image, so that their
// results stay in the cache.
int blocks_of_one_image(const Model& m) {
  for (int i = 0; i < m.block_count; i++)
    if (m.blocks[i].is_attention && !m.blocks[i].attention.is_residual) return i + 1;
  return 0;
}

int stem_tokens(const Model& m) {
  const Convolution& last = m.convolutions[m.convolution_count - 1];
  return last.out_height * last.out_width;
}

// Compute the blocks [first, last), and return the number of tokens after them.
int run_blocks(const Model& m, int first, int last, Stream& stream, Workspace& w, Scratch& scratch, int images, int tokens,
               const Member& member) {
  for (int i = first; i < last; i++) {
    const Block& block = m.blocks[i];
    const Layer* next = next_encoded_layer(m, i + 1);
    if (block.is_attention) {
      run_attention(m, block.attention, stream, w, scratch, images, next, member);
      tokens = block.attention.queries();
    } else {
      run_mlp(m, block.mlp, stream, w, images * tokens, next, member);
    }
  }
  return tokens;
}

void features(const Model& m, const uint8_t* pixels, const float* values, int images, Workspace& w, Scratch& scratch,
              const Member& member, float* out) {
  const Index image_size = Index(m.height) * m.width * m.channels;
  const int alone = blocks_of_one_image(m);
  const Layer* next = next_encoded_layer(m, 0);
  Stream stream{w.stream, w.next_stream, w.codes, w.next_codes, next};
  int tokens = 0;
  for (int i = 0; i < images; i++) {
    const Image image{pixels ? pixels + i * image_size : nullptr, values ? values + i * image_size : nullptr};
    run_stem(m, image, w, alone ? 0 : i, next, member);
    tokens = stem_tokens(m);
    if (alone == 0) continue;
    stream = {w.stream, w.next_stream, w.codes, w.next_codes, next};
    const Attention& last = m.blocks[alone - 1].attention;
    const Index at = Index(i) * last.queries() * last.projection.outputs;
    const Layer* after = next_encoded_layer(m, alone);
    stream.next_values += at;
    if (after) stream.next_codes = element(*after, stream.next_codes, at);
    tokens = run_blocks(m, 0, alone, stream, w, scratch, 1, tokens, member);
  }
  if (alone) stream = {w.next_stream, w.stream, w.next_codes, w.codes, next_encoded_layer(m, alone)};
  tokens = run_blocks(m, alone, m.block_count, stream, w, scratch, images, tokens, member);
  release_tiles();
  pool(stream.values, images, tokens, m.head.inputs, member, out);
}

void logits(const Model& m, const float* in, int images, const Member& member, float* out) {
  const Output output{out, nullptr, m.head.outputs, nullptr, {1, 0}, Activation::none};
  apply_part(m.head, {in, nullptr, m.head.inputs, 0}, images, output, member);
}

}  // namespace
}  // namespace LEVIT_TARGET

extern const Target JOIN(target_, LEVIT_TARGET);
const Target JOIN(target_, LEVIT_TARGET) = {TEXT(LEVIT_TARGET), LEVIT_TARGET::features, LEVIT_TARGET::logits};

}  // namespace levit
