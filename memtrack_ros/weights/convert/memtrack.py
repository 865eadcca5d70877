"""MemTrack's published TensorFlow checkpoint (skyoung/MemTrack), as a NumPy archive, in our names.

The archive holds the network's variables without the optimiser's; where TensorFlow is:

    names = [n for n, shape in tf.train.list_variables(path) if shape and 'Adam' not in n]
    np.savez('memtrack.npz', **{n: tf.train.load_variable(path, n) for n in names})
"""

from __future__ import annotations

from torch import Tensor

# Authors' scope -> our module.
SCOPES = {
    **{
        f'feature_extraction/{layer}': f'trunk.{layer}'
        for number in (1, 2, 3, 4)
        for layer in (f'conv{number}', f'conv{number}_bn')
    },
    'feature_extraction/conv5': 'trunk.conv5',
    'c_state': 'controller.first_cell',
    'h_state': 'controller.first_hidden',
    'RNN/input_layer': 'controller.attention.patch',
    'RNN/query_layer': 'controller.attention.before',
    'RNN/score': 'controller.attention.score',
    'RNN/0': 'controller.lstm.gates',
    'RNN/0/input': 'controller.lstm.input_norm',
    'RNN/0/transform': 'controller.lstm.candidate_norm',
    'RNN/0/forget': 'controller.lstm.forget_norm',
    'RNN/0/output': 'controller.lstm.output_norm',
    'RNN/0/state': 'controller.lstm.cell_norm',
    'RNN/control_factors': 'controller.gates',
    'RNN/write_decay': 'controller.decay',
    'RNN/add_vector': 'controller.residual',
    'RNN/read_key': 'controller.key',
    'RNN/write_strengths': 'controller.strength',
    'bn_response': 'response',
}
PARAMETERS = {
    'kernel': 'weight',
    'bias': 'bias',
    'gamma': 'weight',
    'beta': 'bias',
    'moving_mean': 'running_mean',
    'moving_variance': 'running_var',
}


def translate(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters by the names of PaperMemTrack."""
    return {ours(name): outputs_first(tensor) for name, tensor in checkpoint.items()}


def ours(name: str) -> str:
    """Our name; `name` itself where it is none of the network's."""
    scope, _, parameter = name.rpartition('/')
    if scope in SCOPES and parameter in PARAMETERS:
        return f'{SCOPES[scope]}.{PARAMETERS[parameter]}'
    return name


def outputs_first(tensor: Tensor) -> Tensor:
    """TensorFlow's kernels have height, width, inputs, outputs or inputs, outputs."""
    if tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1)
    return tensor.T if tensor.ndim == 2 else tensor
