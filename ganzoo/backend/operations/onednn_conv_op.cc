#include "onednn_conv_op.h"

#include <typeinfo>

#include "convolution.h"
#include "ops/op_register.h"
#include "var.h"

// Jittor compiles this file a second time, with JIT defined, for jit_run.

namespace jittor {

using ganzoo::Geometry;

static int size_of(Var* var, const string& format, char dimension) { return var->shape[format.find(dimension)]; }

#ifndef JIT

extern unordered_map<string, OpInfo> op_info_map;

static VarPtr make(Var* left, Var* right, int direction, int height, int width, int sh, int sw, int ph, int pw, int dh, int dw, int groups, string xf, string wf, string yf, bool bfloat16 = false, int widened = 0) {
    static auto made = get_op_info("onednn_conv")
        .get_constructor<VarPtr, Var*, Var*, int, int, int, int, int, int, int, int, int, int, string, string, string, bool, int>();
    return made(left, right, direction, height, width, sh, sw, ph, pw, dh, dw, groups, xf, wf, yf, bfloat16, widened);
}

static VarPtr make_like(const OnednnConvOp& op, Var* left, Var* right, int direction, int height, int width) {
    return make(left, right, direction, height, width, op.stride_h, op.stride_w, op.padding_h, op.padding_w,
                op.dilation_h, op.dilation_w, op.groups, op.x_format, op.w_format, op.y_format, op.bfloat16,
                op.widened);
}

OnednnConvOp::OnednnConvOp(Var* left, Var* right, int direction, int height, int width, int stride_h, int stride_w, int padding_h, int padding_w, int dilation_h, int dilation_w, int groups, string x_format, string w_format, string y_format, bool bfloat16, int widened)
    : left(left), right(right), direction(direction), height(height), width(width), stride_h(stride_h), stride_w(stride_w),
      padding_h(padding_h), padding_w(padding_w), dilation_h(dilation_h), dilation_w(dilation_w), groups(groups),
      x_format(move(x_format)), w_format(move(w_format)), y_format(move(y_format)),
      bfloat16(bfloat16), widened(widened) {
    ASSERT(left->dtype() == ns_float32 && right->dtype() == ns_float32) << "convolutions need float32";
    result = create_output(nullptr, ns_float32);
    // The gradients don't need the result.
    flags.set(NodeFlags::_manual_set_vnbb);
    if (!right->is_stop_grad()) left->flags.set(NodeFlags::_needed_by_backward);
    if (!left->is_stop_grad()) right->flags.set(NodeFlags::_needed_by_backward);
}

static void set_sizes(Var* var, const string& format, const char* names, int a, int b, int c, int d) {
    int64 sizes[4];
    sizes[format.find(names[0])] = a;
    sizes[format.find(names[1])] = b;
    sizes[format.find(names[2])] = c;
    sizes[format.find(names[3])] = d;
    var->set_shape(NanoVector(sizes[0], sizes[1], sizes[2], sizes[3]));
}

void OnednnConvOp::infer_shape() {
    ASSERTop(left->shape.size(),==,4);
    ASSERTop(right->shape.size(),==,4);
    if (direction == ganzoo::forward) {
        int x_h = size_of(left, x_format, 'c'), x_w = size_of(left, x_format, 'd');
        int w_h = size_of(right, w_format, 'h') + !!widened, w_w = size_of(right, w_format, 'w') + !!widened;
        ASSERTop(size_of(left, x_format, 'b'),==,size_of(right, w_format, 'i') * groups);
        int y_h = (x_h + 2 * padding_h - dilation_h * (w_h - 1) - 1) / stride_h + 1;
        int y_w = (x_w + 2 * padding_w - dilation_w * (w_w - 1) - 1) / stride_w + 1;
        set_sizes(result, y_format, "abcd", size_of(left, x_format, 'a'), size_of(right, w_format, 'o'), y_h, y_w);
    } else if (direction == ganzoo::backward_data) {
        ASSERTop(size_of(left, w_format, 'o'),==,size_of(right, y_format, 'b'));
        int channels = size_of(left, w_format, 'i') * groups;
        set_sizes(result, x_format, "abcd", size_of(right, y_format, 'a'), channels, height, width);
    } else {
        ASSERTop(size_of(left, x_format, 'a'),==,size_of(right, y_format, 'a'));
        int inputs = size_of(left, x_format, 'b') / groups;
        set_sizes(result, w_format, "oihw", size_of(right, y_format, 'b'), inputs, height, width);
    }
}

VarPtr OnednnConvOp::grad(Var* out, Var* dout, Var* v, int v_index) {
    Var* x = direction == ganzoo::backward_data ? dout : left;
    Var* w = direction == ganzoo::forward ? right : direction == ganzoo::backward_data ? left : dout;
    Var* y = direction == ganzoo::forward ? dout : right;
    bool first = v_index == 0;
    // The direction that computes this gradient.
    int needed = direction == ganzoo::forward ? (first ? ganzoo::backward_data : ganzoo::backward_weights)
              : direction == ganzoo::backward_data ? (first ? ganzoo::backward_weights : ganzoo::forward)
              : (first ? ganzoo::backward_data : ganzoo::forward);
    if (needed == ganzoo::forward) return make_like(*this, x, w, needed, 0, 0);
    if (needed == ganzoo::backward_data)
        return make_like(*this, w, y, needed, size_of(v, x_format, 'c'), size_of(v, x_format, 'd'));
    return make_like(*this, x, y, needed, size_of(v, w_format, 'h'), size_of(v, w_format, 'w'));
}

// All instances run the same code, but Jittor's key of compiled code must not be empty.
void OnednnConvOp::jit_prepare(JK& jk) { jk << "«T:float32"; }

// Called by Jittor's tuner where it finds a convolution in a graph of products and sums.
static VarPtr found_conv(Var* x, Var* w, int sh, int sw, int ph, int pw, int dh, int dw, int groups, string xf, string wf, string yf) {
    return make(x, w, ganzoo::forward, 0, 0, sh, sw, ph, pw, dh, dw, groups, xf, wf, yf);
}

template <int direction>
static VarPtr found_gradient(Var* left, Var* right, int height, int width, int sh, int sw, int ph, int pw, int dh, int dw, int groups, string xf, string wf, string yf) {
    return make(left, right, direction, height, width, sh, sw, ph, pw, dh, dw, groups, xf, wf, yf);
}

template <class Maker>
static void replace(const string& name, Maker* maker) {
    OpInfo info = get_op_info("onednn_conv");
    info.name = name;
    info.constructors = {{&typeid(maker), (void*)maker}};
    op_info_map[name] = info;
}

#else  // JIT
#ifdef JIT_cpu

static std::array<char, 4> letters(const string& format) { return {format[0], format[1], format[2], format[3]}; }

void OnednnConvOp::jit_run() {
    Var* x = direction == ganzoo::backward_data ? result : left;
    Var* w = direction == ganzoo::forward ? right : direction == ganzoo::backward_data ? left : result;
    Var* y = direction == ganzoo::forward ? result : right;
    Geometry geometry{};
    geometry.direction = direction;
    geometry.bfloat16 = bfloat16;
    geometry.widened = widened;
    geometry.groups = groups;
    geometry.batch = size_of(x, x_format, 'a');
    geometry.in_channels = size_of(x, x_format, 'b');
    geometry.in_height = size_of(x, x_format, 'c');
    geometry.in_width = size_of(x, x_format, 'd');
    geometry.kernel_height = size_of(w, w_format, 'h') + !!widened;
    geometry.kernel_width = size_of(w, w_format, 'w') + !!widened;
    geometry.out_channels = size_of(y, y_format, 'b');
    geometry.out_height = size_of(y, y_format, 'c');
    geometry.out_width = size_of(y, y_format, 'd');
    geometry.stride_height = stride_h;
    geometry.stride_width = stride_w;
    geometry.padding_height = padding_h;
    geometry.padding_width = padding_w;
    geometry.dilation_height = dilation_h;
    geometry.dilation_width = dilation_w;
    geometry.x_format = letters(x_format);
    geometry.w_format = letters(w_format);
    geometry.y_format = letters(y_format);
    ganzoo::convolve(geometry, left->ptr<float32>(), right->ptr<float32>(), result->ptr<float32>());
}

#endif  // JIT_cpu
#endif  // JIT

}  // namespace jittor

#ifndef JIT
extern "C" {

void ganzoo_replace_convolutions() {
    jittor::replace("mkl_conv", &jittor::found_conv);
    jittor::replace("mkl_conv_backward_x", &jittor::found_gradient<ganzoo::backward_data>);
    jittor::replace("mkl_conv_backward_w", &jittor::found_gradient<ganzoo::backward_weights>);
}

void ganzoo_convolution_counts(int64_t* found) {
    found[0] = ganzoo::counts.winograd;
    found[1] = ganzoo::counts.direct;
    found[2] = ganzoo::counts.plain;
    found[3] = ganzoo::counts.bfloat16;
    found[4] = ganzoo::counts.doubled;
    found[5] = ganzoo::counts.im2col;
    found[6] = ganzoo::counts.few_channels;
}

void ganzoo_swap_winograd_minimum(int* channels, int* pixels) {
    std::swap(ganzoo::winograd_minimum.channels, *channels);
    std::swap(ganzoo::winograd_minimum.pixels, *pixels);
}

}
#endif  // JIT
