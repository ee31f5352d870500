def find(npm):
    return ''
