"""Do the paper variants compute what their authors' implementations computed?"""
